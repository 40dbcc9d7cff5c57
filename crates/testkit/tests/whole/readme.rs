//! Compares the documents with the programs, haproxy.cfg, docker-compose.yml and the image.
//!
//! .ci/fresh follows the commands of README.md. These tests compare the facts that stand twice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use forever200_testkit::process::project;

fn read(name: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(project().join(name)).context(name.to_owned())
}

/// The document with the table of variables.
const VARIABLES: &str = "docs/configuration.md";

/// Returns the names in the first column of the table of variables.
fn documented() -> anyhow::Result<BTreeSet<String>> {
    let document = read(VARIABLES)?;
    let (_, table) = document
        .split_once("\n| variable |")
        .context("docs/configuration.md has no table of variables")?;
    let rows = table.lines().skip(1).take_while(|row| row.starts_with('|'));
    // A row may have several names: | `FOREVER200_ONE`, `FOREVER200_OTHER` | …
    let names = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`'));
    let names = names
        .filter(|text| text.starts_with("FOREVER200_"))
        .map(str::to_owned);
    Ok(names.collect())
}

/// Returns the variables that docker-compose.yml gives to the container, with their defaults; empty
/// where there is none.
fn composed() -> anyhow::Result<BTreeMap<String, String>> {
    let compose = read("docker-compose.yml")?;
    let lines = compose.lines().map(str::trim);
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let ours = pairs.filter(|(name, _)| name.starts_with("FOREVER200_"));
    ours.map(|(name, value)| {
        let value = value.trim();
        let default = if value.is_empty() {
            ""
        } else {
            value
                .strip_prefix(&format!("${{{name}:-"))
                .and_then(|rest| rest.strip_suffix('}'))
                .with_context(|| format!("{name} does not take over the variable: {value}"))?
        };
        Ok((name.to_owned(), default.to_owned()))
    })
    .collect()
}

/// Returns the project's variables in the ENV of the Dockerfile.
fn of_the_image() -> anyhow::Result<BTreeMap<String, String>> {
    let dockerfile = read("Dockerfile")?;
    let words = dockerfile.split_whitespace();
    let pairs = words.filter_map(|word| word.split_once('='));
    let ours = pairs.filter(|(name, _)| name.starts_with("FOREVER200_"));
    Ok(ours
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

#[test]
fn compose_passes_every_variable_of_the_documents() -> anyhow::Result<()> {
    let (documented, composed) = (documented()?, composed()?);
    ensure!(
        documented.len() >= 16,
        "the table is not read: {documented:?}"
    );
    assert_eq!(composed.into_keys().collect::<BTreeSet<_>>(), documented);
    Ok(())
}

#[test]
fn compose_repeats_the_defaults_of_the_image() -> anyhow::Result<()> {
    let (mut composed, image) = (composed()?, of_the_image()?);
    composed.retain(|_, default| !default.is_empty());
    ensure!(!image.is_empty(), "the Dockerfile sets none");
    assert_eq!(composed, image);
    Ok(())
}

/// Returns the user's number in the last USER of the Dockerfile.
fn user_of_the_image() -> anyhow::Result<String> {
    let dockerfile = read("Dockerfile")?;
    let user = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("USER "))
        .next_back()
        .context("the Dockerfile names no user")?;
    let (number, _) = user.split_once(':').context("no group")?;
    Ok(number.to_owned())
}

#[test]
fn the_files_of_a_cluster_fit_the_image() -> anyhow::Result<()> {
    let kubernetes = read("deploy/kubernetes.yaml")?;
    let swarm = read("deploy/swarm.yml")?;
    let history = of_the_image()?
        .remove("FOREVER200_HISTORY")
        .context("no folder of the history")?;
    let user = user_of_the_image()?;
    assert!(kubernetes.contains(&format!("mountPath: {history}}}")));
    assert!(swarm.contains(&format!("history:{history}\n")));
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(
            kubernetes.contains(&format!("{field}: {user}\n")),
            "{field}"
        );
    }
    // Other folders to which the image writes.
    for folder in ["/run", "/tmp"] {
        assert!(
            kubernetes.contains(&format!("mountPath: {folder}}}")),
            "{folder}"
        );
        assert!(swarm.contains(&format!("target: {folder}}}")), "{folder}");
    }
    Ok(())
}

#[test]
fn the_package_has_all_that_supervisord_needs() -> anyhow::Result<()> {
    let manifest = read("crates/viewer/Cargo.toml")?;
    for entry in std::fs::read_dir(project().join("supervisor"))? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        if name != "__pycache__" {
            assert!(
                manifest.contains(&format!("\"../../supervisor/{name}\"")),
                "{name}"
            );
        }
    }
    for name in ["supervisord.conf", "haproxy/haproxy.cfg"] {
        assert!(manifest.contains(&format!("\"../../{name}\"")), "{name}");
    }
    // The service sets the variables of the image, except the format of the log, which is for the
    // journal here.
    let service = read("deploy/forever200.service")?;
    for (name, value) in of_the_image()? {
        if name != "FOREVER200_LOG_FORMAT" {
            assert!(
                service.contains(&format!("Environment={name}={value}\n")),
                "{name}"
            );
        }
    }
    Ok(())
}
