//! Chromium as a visitor has it. It also tells the test what a visitor would not see.
//!
//! In: addresses to open. Out: what the page shows, what it logged (script errors, reports of its
//! Content-Security-Policy), and which addresses it requested. If a dialog opens, the next call
//! fails.

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
/// As root, Chromium runs only without its sandbox. Some of the other arguments keep Chromium from
/// sending requests of its own.
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
    // As a visitor who clicks the warning away, because the test makes its own certificate.
    "--ignore-certificate-errors",
];

/// A visitor, by the settings of the browser.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Whether the visitor prefers dark colours.
    pub dark: bool,
    /// Whether JavaScript is on.
    pub javascript: bool,
    /// Size of ordinary letters by the browser's settings, in pixels.
    pub letters: u32,
    /// Whether animations are shown. Without a graphics card, drawing them takes most of a
    /// processor.
    pub motion: bool,
}

/// A visitor at a laptop, with light colours.
pub const LAPTOP: Visitor = Visitor {
    width: 1366,
    dark: false,
    javascript: true,
    letters: 16,
    motion: true,
};
/// A visitor with a phone, with dark colours.
pub const PHONE: Visitor = Visitor {
    width: 360,
    dark: true,
    javascript: true,
    letters: 16,
    motion: true,
};

/// The visitors for whom every page must work: each width with each choice of colours.
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
    /// The driver's client, for commands that have no method here.
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
                // Log the requests, but not each step of a page.
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
        // Forget the requests of the browser's own first page.
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

    /// Returns the faults of accessibility that axe finds in the page, including too small targets:
    /// the rule, how grave the fault is, and the elements. First it removes all but three of
    /// similar rows from the page, because axe takes seconds for hundreds of them.
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

    /// Opens the list, and waits until it shows new requests by itself.
    ///
    /// # Errors
    /// The list does not do so in time.
    pub async fn follow(&self, address: &str) -> anyhow::Result<()> {
        self.open(address).await?;
        self.until(
            "the page follows",
            "document.querySelector('#live').dataset.state === 'on'",
        )
        .await
    }

    /// Gives the window a size in CSS pixels. `zoom` is how many pixels of the screen one CSS pixel
    /// takes: 2 is a zoom of 200 %.
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

    /// Waits for `after`, and then presses the mouse button for `for_as_long_as`.
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

    /// Returns what was logged since the last call: script errors, CSP reports, failed loads.
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

    /// Returns the addresses that the browser requested since the last call.
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

/// Starts a driver, which chooses its own port.
async fn driver() -> anyhow::Result<(Child, u16)> {
    // In a session of its own, by which Chromium's processes are found later.
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
    // Reads on, because the driver would block on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((driver, port))
}

/// A command that this driver has in addition to WebDriver's.
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
