//! The parts of an HTTP request are slices of it, in the order sent.
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
    for (name, value) in &request.headers {
        follows(name);
        follows(value);
        assert!(request.values(name).any(|found| found == *value));
    }
    follows(request.body);
    assert!(raw.ends_with(request.body) && !request.method.is_empty());
    let (path, query) = request.path_and_query();
    assert!(request.target == path || request.target == [path, b"?", query].concat());
    assert!(!path.contains(&b'?'));
});

/// Where one slice begins in another.
trait SubsliceStart {
    fn subslice_start(&self, part: &[u8]) -> Option<usize>;
}

impl SubsliceStart for [u8] {
    fn subslice_start(&self, part: &[u8]) -> Option<usize> {
        let start = (part.as_ptr() as usize).checked_sub(self.as_ptr() as usize)?;
        (start + part.len() <= self.len()).then_some(start)
    }
}
