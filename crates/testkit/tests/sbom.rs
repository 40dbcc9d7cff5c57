//! Compares the list of parts that the build writes with the facts: the schema of CycloneDX, the
//! crates whose paths are in the programs, and dpkg's packages.
//!
//! The tests need a Docker engine, so they are `ignored`; see `make test`.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;

use anyhow::{Context, ensure};
use forever200_testkit::process::project;
use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

/// Where npm puts the schemas.
const SCHEMAS: &str = "crates/testkit/browser/node_modules/@cyclonedx/cyclonedx-library/res/schema";

/// Runs a shell command in the project's folder and returns its stdout.
fn shell(command: &str) -> anyhow::Result<String> {
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(project())
        .output()?;
    ensure!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a shell command in the image.
fn inside(command: &str) -> anyhow::Result<String> {
    shell(&format!(
        "docker run --rm --entrypoint sh forever200 -c '{command}'"
    ))
}

/// Finds a schema that another schema refers to, in the same folder.
struct Beside;

impl Retrieve for Beside {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default();
        Ok(serde_json::from_slice(&std::fs::read(
            project().join(SCHEMAS).join(name),
        )?)?)
    }
}

fn cyclonedx() -> anyhow::Result<Validator> {
    let path = project().join(SCHEMAS).join("bom-1.6.SNAPSHOT.schema.json");
    let text = std::fs::read(path).context("no schema: npm ci --prefix crates/testkit/browser")?;
    let schema = serde_json::from_slice(&text)?;
    Ok(jsonschema::options()
        .with_retriever(Beside)
        .should_validate_formats(true)
        .build(&schema)?)
}

/// Returns the package URLs of this kind in the document, without their qualifiers.
fn parts<'a>(document: &'a Value, kind: &str) -> BTreeSet<&'a str> {
    let components = document["components"].as_array().into_iter().flatten();
    components
        .filter_map(|component| {
            component["purl"]
                .as_str()?
                .strip_prefix(kind)?
                .split('?')
                .next()
        })
        .collect()
}

/// Escapes `+`, the only character of a version that a package URL escapes.
fn escaped(lines: &str) -> String {
    lines.replace('+', "%2B")
}

#[test]
#[ignore = "needs a Docker engine: make test-container"]
fn the_image_names_every_crate_and_every_package_in_it() -> anyhow::Result<()> {
    shell("docker build -q -t forever200 . && make sbom")?;
    let image: Value =
        serde_json::from_str(&inside("cat /usr/share/doc/forever200/sbom.cdx.json")?)?;
    let programs: Value =
        serde_json::from_slice(&std::fs::read(project().join("target/sbom.cdx.json"))?)?;
    let validator = cyclonedx()?;
    for document in [&image, &programs] {
        let faults: Vec<_> = validator
            .iter_errors(document)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert_eq!(faults, Vec::<String>::new());
    }
    let mut wrong = programs.clone();
    wrong["components"][0]["type"] = "thing".into();
    assert!(!validator.is_valid(&wrong));

    let crates = parts(&image, "pkg:cargo/");
    assert_eq!(crates, parts(&programs, "pkg:cargo/"));
    // A crate that can panic has left its path in the program.
    let left = escaped(&inside(
        "grep -aoh \"/registry/index[^/]*/[^/]*\" /usr/local/bin/forever200-* | sort -u",
    )?);
    let left: Vec<_> = left
        .lines()
        .filter_map(|path| path.rsplit('/').next())
        .collect();
    ensure!(left.len() > 40, "{left:?}");
    for name in left {
        assert!(
            crates.iter().any(|part| part.replace('@', "-") == name),
            "{name} is not listed"
        );
    }

    let packages = escaped(&inside(
        "dpkg-query -W -f \"\\${Package}@\\${Version}\\n\"",
    )?);
    assert_eq!(parts(&image, "pkg:deb/debian/"), packages.lines().collect());
    Ok(())
}

#[test]
#[ignore = "needs a Docker engine: make test-container"]
fn the_programs_do_not_tell_where_they_were_built() -> anyhow::Result<()> {
    shell("docker build -q -t forever200 .")?;
    let count = inside(
        "cat /usr/local/bin/forever200-* | grep -a -c -F -e /usr/local/cargo -e /src/target || true",
    )?;
    assert_eq!(count.trim(), "0");
    Ok(())
}
