//! Parses an HTTP request: its parts are slices of it, in the order sent.
#![no_main]

use forever200_identify::http;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let parsed = http::parse(raw);
    // Empty lines may come first, and the parts stay the same.
    assert_eq!(http::parse(&[b"\r\n\n", raw].concat()), parsed);
    let Some(request) = parsed else { return };
    let mut end = 0;
    let mut follows = |part: &[u8]| {
        // An empty part may lie anywhere.
        if let Some(start) = raw.subslice_start(part).filter(|_| !part.is_empty()) {
            assert!(start >= end, "at {start}, before {end}");
            end = start + part.len();
        } else {
            assert!(part.is_empty(), "not within the request");
        }
    };
    [request.method, request.target, request.version]
        .into_iter()
        .for_each(&mut follows);
    for header in &request.headers {
        follows(header.name);
        follows(header.value);
        assert!(
            request
                .values(header.name)
                .any(|found| found == header.value)
        );
        assert!(!header.plain_value().contains(&b'\n'));
    }
    follows(request.behind_head);
    assert!(raw.ends_with(request.behind_head) && !request.method.is_empty());
    assert_eq!(request.behind_head, [request.body, request.extra].concat());
    let (path, query) = request.path_and_query();
    assert!(request.target == path || request.target == [path, b"?", query].concat());
    assert!(!path.contains(&b'?'));
});

/// Finds where one slice begins in another.
trait SubsliceStart {
    fn subslice_start(&self, part: &[u8]) -> Option<usize>;
}

impl SubsliceStart for [u8] {
    fn subslice_start(&self, part: &[u8]) -> Option<usize> {
        let start = (part.as_ptr() as usize).checked_sub(self.as_ptr() as usize)?;
        (start + part.len() <= self.len()).then_some(start)
    }
}
