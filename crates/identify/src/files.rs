//! The files of signatures, in the order in which they are read.

/// Names in the folder `signatures`, without `.toml`. If two labels weigh the same, the one whose
/// signature is read first comes first.
pub(crate) const FILES: [&str; 29] = [
    "secrets",
    "logins",
    "webshells",
    "recon",
    "open-interfaces",
    "attacks",
    "devices",
    "tools",
    "organisations",
    "ordinary",
    "protocols",
    "cves-to-2018-devices-servers",
    "cves-to-2018-others",
    "cves-2019",
    "cves-2020",
    "cves-2021",
    "cves-2021-others",
    "cves-2022",
    "cves-2022-wordpress",
    "cves-2023-a-to-l",
    "cves-2023-m-to-z",
    "cves-2023-wordpress",
    "cves-2024-a-to-l",
    "cves-2024-m-to-z",
    "cves-2024-wordpress",
    "cves-2025-a-to-l",
    "cves-2025-m-to-z",
    "cves-2025-wordpress",
    "cves-2026",
];

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::signature::{Signature, Signatures};

    /// Longest file, in lines: a person must be able to find something in it.
    const MAX_LINES: usize = 4000;

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("signatures")
    }

    /// Reads all signatures, in the order of the files.
    pub(crate) fn written() -> Vec<Signature> {
        let read = |name: &str| {
            let path = folder().join(name).with_extension("toml");
            let text = std::fs::read_to_string(&path).unwrap();
            let file = Signatures::parse(&text);
            file.unwrap_or_else(|error| panic!("{}, {error}", path.display()))
                .list
        };
        FILES.into_iter().flat_map(read).collect()
    }

    #[test]
    fn the_folder_holds_what_is_listed_and_no_long_file() {
        let entries = std::fs::read_dir(folder()).unwrap();
        let mut found = BTreeSet::new();
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|it| it == "toml") {
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                assert!(lines < MAX_LINES, "{}: {lines} lines", path.display());
                found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
        let listed = FILES.into_iter().map(str::to_owned).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn an_id_is_there_once() {
        let mut ids = BTreeSet::new();
        for signature in written() {
            assert!(ids.insert(signature.id.clone()), "{}", signature.id);
        }
    }
}
