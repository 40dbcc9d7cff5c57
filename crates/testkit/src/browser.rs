//! Chromium, as a visitor has it, that tells the test what the visitor would not see.
//!
//! In: addresses to open. Out: what the page shows, what it logged (script errors, reports of its
//! Content-Security-Policy), what it asked for. A dialog that opens fails the next call.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process::{kill_session, missing, project};
use crate::until;

/// Longest wait for the driver to start.
const TIMEOUT: Duration = Duration::from_secs(30);
/// As root, Chromium runs without its sandbox only. The others keep it from asking for anything of
/// its own.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // A visitor who clicks the warning away: the certificate is of our own making.
    "--ignore-certificate-errors",
];

/// What kind of visitor.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Prefers the dark colours.
    pub dark: bool,
    /// Has JavaScript.
    pub javascript: bool,
    /// Size of ordinary letters by the browser's settings, in pixels.
    pub letters: u32,
    /// Sees what moves: without a graphics card, drawing that takes most of a processor.
    pub motion: bool,
}

/// At a laptop, in daylight.
pub const LAPTOP: Visitor = Visitor {
    width: 1366,
    dark: false,
    javascript: true,
    letters: 16,
    motion: true,
};
/// With a phone, at night.
pub const PHONE: Visitor = Visitor {
    width: 360,
    dark: true,
    javascript: true,
    letters: 16,
    motion: true,
};

/// Those for whom every page must do: each width with each choice of colours.
pub const EVERYONE: [Visitor; 4] = [
    LAPTOP,
    PHONE,
    Visitor {
        dark: true,
        ..LAPTOP
    },
    Visitor {
        dark: false,
        ..PHONE
    },
];

/// A running Chromium and its driver; both are gone when it is dropped.
pub struct Browser {
    /// The driver's client, for what has no method here.
    pub client: Client,
    driver: Child,
    _profile: TempDir,
}

/// Returns the path of a file in a package of npm that `make install-browser` installs.
///
/// # Errors
/// It is not there.
pub fn package(path: &str) -> anyhow::Result<PathBuf> {
    let path = project()
        .join("crates/testkit/browser/node_modules")
        .join(path);
    ensure!(
        path.exists(),
        "{} is missing: npm ci --prefix crates/testkit/browser",
        path.display()
    );
    Ok(path)
}

impl Browser {
    /// Starts a browser for one kind of visitor.
    ///
    /// # Errors
    /// Chromium or its driver is not installed, or does not start.
    pub async fn start(visitor: Visitor) -> anyhow::Result<Self> {
        let (driver, port) = driver().await?;
        let profile = tempfile::tempdir()?;
        let mut arguments: Vec<_> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        if !visitor.motion {
            arguments.push("--force-prefers-reduced-motion".to_owned());
        }
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": {
                "args": arguments,
                // What it asks for is of interest, and not each step of a page.
                "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
                "prefs": {
                    // 2 is "block".
                    "profile.managed_default_content_settings.javascript": if visitor.javascript { 1 } else { 2 },
                    "webkit.webprefs.default_font_size": visitor.letters,
                },
            },
        });
        let Value::Object(capabilities) = capabilities else {
            bail!("capabilities are an object")
        };
        let address = format!("http://127.0.0.1:{port}");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&address)
            .await?;
        let browser = Self {
            client,
            driver,
            _profile: profile,
        };
        browser.look_like(visitor).await?;
        // What the browser's own first page asked for is not of interest.
        browser.open("about:blank").await?;
        browser.requested().await?;
        Ok(browser)
    }

    /// Opens an address and waits until it is loaded.
    ///
    /// # Errors
    /// It cannot be loaded, or a dialog is open.
    pub async fn open(&self, address: &str) -> anyhow::Result<()> {
        self.client
            .goto(address)
            .await
            .with_context(|| address.to_owned())
    }

    /// Runs a script in the page and returns what it returns.
    ///
    /// # Errors
    /// The script fails, or a dialog is open.
    pub async fn run(&self, script: &str) -> anyhow::Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// Returns what axe finds wrong for people in the page as it is, size of targets included: the
    /// rule, how grave it is, and the elements. Of rows and the like that are made alike, the page
    /// has three afterwards: axe takes seconds for hundreds of them.
    ///
    /// # Errors
    /// axe is not installed, or fails.
    pub async fn accessibility(&self) -> anyhow::Result<Value> {
        let axe = std::fs::read_to_string(package("axe-core/axe.min.js")?)?;
        self.run(&axe).await?;
        let thin_out = "const seen = {};
            const kind = (it) => it.tagName + it.className;
            for (const it of document.querySelectorAll('tbody tr, li, article, pre *')) {
                const parts = [it.parentElement, it, ...it.querySelectorAll('*')];
                const shape = parts.map(kind).join();
                seen[shape] = (seen[shape] ?? 0) + 1;
                if (seen[shape] > 3) it.remove();
            }";
        self.run(thin_out).await?;
        let check = "const done = arguments[arguments.length - 1];
            const rules = { 'target-size': { enabled: true } };
            axe.run(document, { resultTypes: ['violations'], rules }).then(({ violations }) =>
                done(violations.map((found) =>
                    [found.id, found.impact, found.nodes.map((node) => node.html)])))";
        Ok(self.client.execute_async(check, Vec::new()).await?)
    }

    /// Waits until an expression is true in the page.
    ///
    /// # Errors
    /// It does not become true in time.
    pub async fn until(&self, what: &str, expression: &str) -> anyhow::Result<()> {
        let script = format!("return {expression}");
        until(what, || async {
            self.run(&script).await.ok()?.as_bool()?.then_some(())
        })
        .await
    }

    /// Opens the list, and waits until it follows.
    ///
    /// # Errors
    /// It does not.
    pub async fn follow(&self, address: &str) -> anyhow::Result<()> {
        self.open(address).await?;
        self.until(
            "the page follows",
            "document.querySelector('#live').dataset.state === 'on'",
        )
        .await
    }

    /// Gives the window a size in CSS pixels, each of them so many of the screen: 2 is a zoom of
    /// 200 %.
    ///
    /// # Errors
    /// The driver fails.
    pub async fn resize(&self, width: u32, height: u32, zoom: u32) -> anyhow::Result<()> {
        // A window cannot be made narrower than 500 pixels; a device can.
        let device =
            json!({ "width": width, "height": height, "deviceScaleFactor": zoom, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", device)
            .await
    }

    /// Moves the pointer to a place in the page, in CSS pixels, as fast as a person does.
    ///
    /// # Errors
    /// The driver fails.
    pub async fn point(&self, x: f64, y: f64) -> anyhow::Result<()> {
        let duration = Some(Duration::from_millis(100));
        let there =
            MouseActions::new("mouse".into()).then(PointerAction::MoveTo { duration, x, y });
        Ok(self.client.perform_actions(there).await?)
    }

    /// Presses the button for so long.
    ///
    /// # Errors
    /// The driver fails.
    pub async fn click(&self, after: Duration, for_as_long_as: Duration) -> anyhow::Result<()> {
        let button = MOUSE_BUTTON_LEFT;
        let pause = |duration| PointerAction::Pause { duration };
        let click = MouseActions::new("mouse".into())
            .then(pause(after))
            .then(PointerAction::Down { button })
            .then(pause(for_as_long_as))
            .then(PointerAction::Up { button });
        Ok(self.client.perform_actions(click).await?)
    }

    /// Returns the text that the page shows.
    ///
    /// # Errors
    /// A dialog is open.
    pub async fn text(&self) -> anyhow::Result<String> {
        let text = self.run("return document.body.innerText").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Returns what was logged since last asked: script errors, CSP reports, failed loads.
    ///
    /// # Errors
    /// The driver fails.
    pub async fn log(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.entries("browser").await?;
        Ok(entries
            .iter()
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect())
    }

    /// Returns the addresses that were asked for since last asked.
    ///
    /// # Errors
    /// The driver fails.
    pub async fn requested(&self) -> anyhow::Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.entries("performance").await? {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default())?;
            let message = &event["message"];
            if message["method"] == "Network.requestWillBeSent" {
                addresses.push(
                    message["params"]["request"]["url"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
        }
        Ok(addresses)
    }

    async fn look_like(&self, visitor: Visitor) -> anyhow::Result<()> {
        self.resize(visitor.width, 800, 1).await?;
        let scheme = if visitor.dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await
    }

    /// Gives a command of the Chrome DevTools Protocol.
    ///
    /// # Errors
    /// The command fails.
    pub async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<()> {
        let body = json!({ "cmd": command, "params": parameters });
        self.client
            .issue_cmd(Post {
                path: "goog/cdp/execute",
                body,
            })
            .await?;
        Ok(())
    }

    async fn entries(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let entries = self
            .client
            .issue_cmd(Post {
                path: "se/log",
                body: json!({ "type": kind }),
            })
            .await?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(session) = self.driver.id() {
            kill_session(session);
        }
    }
}

/// Starts a driver at a port of its own choice.
async fn driver() -> anyhow::Result<(Child, u16)> {
    // A session of its own: that is how Chromium's processes are found again.
    let mut driver = Command::new("setsid")
        .args(["chromedriver", "--port=0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("setsid")?;
    let mut lines = BufReader::new(driver.stdout.take().context("stdout is piped")?).lines();
    let port = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.split_once("was started successfully on port ") {
                return Ok(port.trim_end_matches('.').parse()?);
            }
        }
        bail!(missing("chromium chromium-driver"))
    };
    let port = timeout(TIMEOUT, port)
        .await
        .context("chromedriver says nothing")??;
    // Kept reading, or it would block on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((driver, port))
}

/// A command that WebDriver does not define and the driver knows.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
