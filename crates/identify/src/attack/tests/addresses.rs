//! Addresses that only a server can reach, foreign pages, uploads of programs, XML entities.

use super::check;
use crate::attack::{address, entity, include, upload};

#[test]
fn inner_addresses_are_found() {
    let attacks = [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0x7f.0.0.1:80/",
        "http://169.254.169.254/latest/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "gopher://127.0.0.1:6379/_x",
        "dict://x:11211/stat",
        "file:///etc/hostname",
        "url:file://x",
        "ldap://x/a",
        "jar:http://x.example/a.zip!/b",
        "http://metadata.google.internal/x",
        "http://127.127.127.127/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://a@2130706433/",
        "host.docker.internal/",
        "http:2130706433/",
        "http:127.1",
        "http://100.100.100.200/",
        "http://017700000001/",
        "phar://x",
        "http://[fd00:ec2::254]/",
    ];
    let others = [
        "http://example.com/",
        "https://198.51.100.7/x",
        "http://192.168.1.5:8123/",
        "http://10.0.0.2/",
        "10:30",
        "a:b",
        "see http://example.com/ please",
        "mailto:a@b.example",
        "http://localhost.example/",
        "tel:+123",
        "127.0.0.1",
        "http://example.com:80/?u=x",
        "ftp://example.com/",
        "ratio 1:/2",
        "data:image/png;base64,x",
        "https://a.b/c:/d",
        "http://1e100.example/",
        "//example.com/x",
        "urn:isbn:1",
        "blob:https://x/y",
        "ws://example.com/",
        "http:8080",
    ];
    check(address::find, &attacks, &others);
}

#[test]
fn foreign_pages_are_found_by_name_and_ending() {
    let attacks = [
        "http://x.example/a.txt",
        "http://x.example/a.php",
        "https://x.example/shell.txt?",
        "ftp://x.example/a.php",
        "http://198.51.100.7/x",
        "http://198.51.100.7:8080/x",
        "http://x.example/a.inc",
        "http://x.example/a.sh",
        "https://x.example/x?",
        "http://x.example/a.xml",
        "//198.51.100.7/x",
        "\\\\198.51.100.7\\x",
        "http://x.example/r57.txt?",
        "http://x.example/c99.txt??",
        "http://x.example/a.jsp",
        "http://x.example/a.asp",
        "http://x.example/a.pl",
        "ftps://x.example/a.txt",
        "https://203.0.113.9/a",
        "http://x.example/a.txt?x=1",
    ];
    let others = [
        "home",
        "about.php",
        "http://x.example/",
        "https://example.com/a.jpg",
        "/a/b",
        "news",
        "2",
        "en",
        "//example.com/",
        "https://example.com/a.html",
        "http://example.com/page",
        "a.txt",
        "x?",
        "http",
        "https://example.com/x?y=1",
        "index",
        "../x",
        "a.b",
        "mailto:x",
        "http:/x",
    ];
    check(|value| include::find(b"page", value), &attacks, &others);
    assert!(include::find(b"redirect", b"http://x.example/a.txt").is_none());
    assert!(include::find(b"_conf[path]", b"https://x.example").is_some());
}

#[test]
fn programs_are_found_by_their_file_names() {
    let head =
        |name: &&str| format!("content-disposition: form-data; name=\"f\"; filename=\"{name}\"");
    let attacks = [
        "x.php",
        "x.phtml",
        "x.jsp",
        "x.aspx",
        "x.php.jpg",
        "x.php5",
        "x.php;.jpg",
        "x.php\0.gif",
        "x.asp",
        "x.ashx",
        "x.phar",
        "../x.php",
        "x.php.",
        "x.php::$data",
        ".htaccess",
        "web.config",
        "x.jspx",
        "x.cfm",
        "x.pht",
        "x.cer",
        "x.php%00.png",
        "x.php ",
        ".user.ini",
        "x.war",
        "x.asa",
        "x.php .jpg",
        "x.php%20",
        "x.php%0a.jpg",
        "x.cer;.jpg",
        "x.cer.png",
        "World War II.php",
    ]
    .map(|name| head(&name));
    let others = [
        "x.jpg",
        "x.txt",
        "php.jpg",
        "x.pdf",
        "report.docx",
        "x",
        "",
        "my.photo.png",
        "x.tar.gz",
        "x.html",
        "x.js",
        "x.py",
        "x.phpx",
        "a.b.c",
        "x.json",
        "x.csv",
        "jsp",
        "x.zip",
        "photo 1.jpeg",
        "x.svg",
        "x.mp4",
        "x.xml",
        "World War II.pdf",
        "intro to php.pdf",
        "notes on asp and jsp.docx",
        "The.War.of.the.Worlds.pdf",
        "Cost 50% php.pdf",
        "cash$php.pdf",
    ]
    .map(|name| head(&name));
    check(
        upload::find,
        &attacks.each_ref().map(String::as_str),
        &others.each_ref().map(String::as_str),
    );
    assert!(
        upload::find(b"content-disposition: form-data; name=\"filename\";filename=\"x.jsp\"")
            .is_some()
    );
    let head = |kind: &str| {
        format!("content-disposition: form-data; filename=\"my.cer\"\r\ncontent-type: {kind}")
    };
    for (kind, is_program) in [
        ("image/jpeg", true),
        ("application/x-x509-ca-cert", false),
        ("application/pkix-cert", false),
        ("application/octet-stream", false),
        ("application/pdf", false),
    ] {
        let found = upload::find(head(kind).as_bytes());
        assert_eq!(found.is_some(), is_program, "{kind}");
    }
}

#[test]
fn entities_are_found() {
    let attacks = [
        "<!ENTITY x SYSTEM \"file:///x\">",
        "<!ENTITY % x SYSTEM 'http://x'>",
        "<!ENTITY x PUBLIC \"a\" \"http://x\">",
        "<!DOCTYPE r SYSTEM \"http://x\">",
        "<xi:include href=\"file:///x\"/>",
        "<!DOCTYPE r [<!ENTITY x SYSTEM 'a'>]>",
        "<!DOCTYPE r [<!ENTITY y 'a'><!ENTITY x SYSTEM 'a'>]>",
        "<!ENTITY\t% x 'y'>",
        "<!DOCTYPE r SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE r SYSTEM 'http://127.0.0.1:22/a.dtd'>",
        "<!DOCTYPE r SYSTEM 'http://169.254.169.254/a.dtd'>",
        "<!DOCTYPE r SYSTEM \"http://198.51.100.7/a.dtd\">",
        "<!DOCTYPE r PUBLIC \"x\" \"file:///etc/passwd\">",
        "<!DOCTYPE l [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;\">]>",
        "<!ENTITY lol2 '&lol1;&lol1;&lol1;&lol1;'>",
    ];
    let others = [
        "<!DOCTYPE html>",
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/x.dtd\">",
        "<a>system</a>",
        "<!ENTITY nbsp \"&#160;\">",
        "<include href=\"x\"/>",
        "&amp;",
        "<!DOCTYPE cXML SYSTEM \"http://xml.cxml.org/schemas/cXML/1.2.014/cXML.dtd\">",
        "<!DOCTYPE plist SYSTEM \"file://localhost/System/Library/DTDs/PropertyList.dtd\">",
        "<!DOCTYPE plist PUBLIC \"-//Apple Computer//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">",
        "<!DOCTYPE html SYSTEM \"about:legacy-compat\">",
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">",
        "<!DOCTYPE note SYSTEM 'note.dtd'>",
        "<!ENTITY r \"50%\">",
        "<!ENTITY share \"50 % of all\">",
        "<!ENTITY c \"&#169;&lt;&gt;&amp;&quot;\">",
        "<!ENTITY footer \"&company; and &partner;\">",
    ];
    for (texts, is_attack) in [(&attacks[..], true), (&others[..], false)] {
        for text in texts {
            assert_eq!(
                entity::find(text.to_ascii_lowercase().as_bytes()).is_some(),
                is_attack,
                "{text}"
            );
        }
    }
}
