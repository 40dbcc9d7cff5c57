//! Tests that requests of real clients, as in their documentation, are no attack, whatever they
//! quote.
//!
//! In: two files of requests. Each request begins with a line `%% name`; a line feed means CR LF.
//! `benign.txt` has requests that look most like attacks; `benign-tools.txt` has what programs of
//! all kinds send day by day.

use forever200_identify::{Category, Labeller, Signature};

const REQUESTS: [&str; 2] = [include_str!("benign.txt"), include_str!("benign-tools.txt")];
/// Fewer requests would show little of what ordinary programs send.
const MIN_REQUESTS: usize = 200;

#[test]
fn no_request_of_a_real_client_is_an_attack() {
    let labeller = Labeller::built_in();
    let requests: Vec<_> = REQUESTS
        .iter()
        .flat_map(|file| file.split("%% ").skip(1))
        .collect();
    assert!(requests.len() >= MIN_REQUESTS, "{}", requests.len());
    let attacks = [Category::Exploit, Category::Secrets, Category::Webshell];
    let alarms = requests.iter().filter_map(|text| {
        let (name, request) = text.split_once('\n')?;
        let raw = Signature::example_bytes(request.trim_end_matches('\n'));
        let labels = labeller.describe(&raw, None).labels;
        let is_attack = |category| attacks.contains(&category);
        let wrong: Vec<_> = labels
            .iter()
            .filter(|label| label.signature.categories().any(is_attack))
            .map(|label| label.signature.id.clone())
            .collect();
        (!wrong.is_empty()).then(|| format!("{name}: {wrong:?}"))
    });
    let alarms: Vec<_> = alarms.collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
}
