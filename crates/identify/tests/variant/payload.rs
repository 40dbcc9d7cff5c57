//! Other payloads for the same weakness: another command, file, number, address or script.

use forever200_identify::Signature;

use super::request::{Request, replaced};

/// Texts of one sender, and the texts with which another sender would replace them.
const SWAPS: [(&str, &str); 45] = [
    ("$(id)", "$(whoami)"),
    ("`id`", "`whoami`"),
    ("%60id%60", "%60whoami%60"),
    (";id;", ";uname;"),
    ("|id", "|whoami"),
    ("%7cid", "%7cwhoami"),
    ("'id'", "'whoami'"),
    ("%22id%22", "%22whoami%22"),
    ("(%27id%27", "(%27whoami%27"),
    ("cat+/etc/passwd", "ls+-l+/tmp"),
    ("cat%20/etc/passwd", "ls%20-l%20/tmp"),
    ("wget", "curl"),
    ("/etc/passwd", "/etc/hosts"),
    ("etc%2fpasswd", "etc%2fhosts"),
    ("etc%2Fpasswd", "etc%2Fhosts"),
    ("windows/win.ini", "windows/system.ini"),
    ("sleep(5)", "sleep(9)"),
    ("sleep(6)", "sleep(4)"),
    ("SLEEP(5)", "sleep(12)"),
    (" 1=1", " 7=7"),
    ("+1=1", "+7=7"),
    ("0:0:5", "0:0:9"),
    ("0:0:6", "0:0:3"),
    ("alert(1)", "alert(document.cookie)"),
    ("alert(document.domain)", "prompt(77)"),
    ("example.com", "collector.example.net"),
    ("192.0.2.", "203.0.113."),
    ("198.51.100.", "192.0.2."),
    ("aaaa", "k3v9"),
    ("=x&", "=k3v9&"),
    ("=a&", "=k3v9&"),
    ("=1&", "=42&"),
    (":\"x\"", ":\"k3v9\""),
    (": \"x\"", ": \"k3v9\""),
    (":\"a\"", ":\"k3v9\""),
    (":1,", ":42,"),
    ("password=a", "password=k3v9"),
    ("etc/passwd", "proc/self/environ"),
    ("onerror", "onload"),
    ("onload", "onfocus"),
    ("<script>alert", "<svg/onload=alert"),
    ("/x.php", "/q7w2.php"),
    ("touch+/", "ls+/"),
    ("user()", "version()"),
    ("filename=\"x.", "filename=\"q7w2."),
];

/// Makes a variant for each swap that applies; a swap changes target, headers and body.
pub(crate) fn vary(request: &Request, _: &Signature, _: &str) -> Vec<Request> {
    let all = SWAPS.iter().filter_map(|(from, to)| {
        let swap = |text: &[u8]| replaced(text, from.as_bytes(), to.as_bytes());
        let mut varied = request.clone();
        let mut is_changed = false;
        let values = varied.headers.iter_mut().map(|(_, value)| value);
        for text in values.chain([&mut varied.target, &mut varied.body]) {
            if let Some(swapped) = swap(text) {
                *text = swapped;
                is_changed = true;
            }
        }
        is_changed.then_some(varied)
    });
    all.collect()
}
