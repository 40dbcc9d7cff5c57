//! Things that the documents name exist: files, headings, addresses of the viewer, variables and
//! their defaults.
//!
//! .ci/fresh follows the commands of README.md, and `readme.rs` compares facts that stand in
//! several files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, programs, project};

/// Folders at the top of the repository whose files a document may name in backticks.
const FOLDERS: [&str; 11] = [
    ".ci/",
    ".github/",
    "bench/",
    "crates/",
    "deploy/",
    "docs/",
    "fuzz/",
    "haproxy/",
    "scripts/",
    "supervisor/",
    "../",
];

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Returns all Markdown documents of the project.
fn documents() -> anyhow::Result<Vec<PathBuf>> {
    let folders = ["", "docs", "bench", "crates/identify/signatures"];
    let mut documents = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(project().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    Ok(documents)
}

/// Returns a document without its blocks of code.
fn prose(document: &str) -> String {
    let parts = document.split("```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

/// Returns the targets of a document's links, except those on other servers.
fn links(prose: &str) -> Vec<&str> {
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .collect::<Vec<_>>()
}

/// Returns texts in backticks that look like a file of the repository.
fn names(prose: &str) -> Vec<&str> {
    let quoted = prose.split('`').skip(1).step_by(2);
    let is_of_a_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    quoted
        .filter(|name| name.bytes().all(is_of_a_path))
        .filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder)))
        .collect()
}

/// Returns the name by which GitHub links to a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().replace(' ', "-")
}

fn has_heading(document: &str, wanted: &str) -> bool {
    let text = prose(document);
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    headings.any(|heading| anchor(heading) == wanted)
}

/// Fails unless the link leads to a file, and to a heading if it names one.
fn follow(document: &Path, link: &str) -> anyhow::Result<()> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.parent().context("no folder")?;
    let target = if file.is_empty() {
        document.to_owned()
    } else {
        folder.join(file)
    };
    ensure!(target.exists(), "{}: {link}", document.display());
    ensure!(
        heading.is_empty() || has_heading(&read(&target)?, heading),
        "{}: no heading {link}",
        document.display()
    );
    Ok(())
}

#[test]
fn every_link_of_the_documents_leads_somewhere() -> anyhow::Result<()> {
    let mut followed = 0;
    for document in documents()? {
        let text = prose(&read(&document)?);
        for link in links(&text) {
            follow(&document, link)?;
            followed += 1;
        }
    }
    ensure!(followed > 50, "the links are not found: {followed}");
    Ok(())
}

#[test]
fn every_file_that_the_documents_name_exists() -> anyhow::Result<()> {
    let mut found = 0;
    for document in documents()? {
        let text = prose(&read(&document)?);
        let folder = document.parent().context("no folder")?;
        for name in names(&text) {
            let exists = project().join(name).exists() || folder.join(name).exists();
            ensure!(exists, "{} names {name}", document.display());
            found += 1;
        }
    }
    ensure!(found > 20, "the names are not found: {found}");
    Ok(())
}

/// Returns the addresses in web/routes.rs, except the static files of the page.
fn routes() -> anyhow::Result<BTreeSet<String>> {
    let source = read(&project().join("crates/viewer/src/web/routes.rs"))?;
    let addresses = source.split(".route(\"").skip(1);
    let addresses = addresses.filter_map(|rest| rest.split('"').next());
    let documented = addresses.filter(|address| !address.starts_with("/home/static/"));
    // `/home/` is `/home`, and the formats of a file are listed one by one.
    let without_format = documented.map(|address| address.trim_end_matches("{format}"));
    Ok(without_format
        .map(|address| address.trim_end_matches('/').to_owned())
        .collect())
}

/// Returns the addresses in the first column of the table in docs/api.md, without their queries.
fn documented_addresses() -> anyhow::Result<BTreeSet<String>> {
    let document = read(&project().join("docs/api.md"))?;
    let rows = document.lines().filter(|line| line.starts_with("| `/home"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let addresses = quoted.filter(|text| text.starts_with("/home"));
    let addresses = addresses.filter_map(|text| text.split('?').next());
    Ok(addresses.map(str::to_owned).collect())
}

#[test]
fn api_md_has_every_address_of_the_viewer() -> anyhow::Result<()> {
    let (routes, documented) = (routes()?, documented_addresses()?);
    ensure!(routes.len() >= 20, "the routes are not found: {routes:?}");
    for route in &routes {
        let is_documented = documented.iter().any(|address| address.starts_with(route));
        ensure!(is_documented, "docs/api.md does not have {route}");
    }
    for address in &documented {
        let exists = routes.contains(address)
            || routes.iter().any(|route| {
                route != "/home"
                    && (route.ends_with('.') || route.ends_with("{seq}"))
                    && address.starts_with(route)
            });
        ensure!(exists, "the viewer does not have {address}");
    }
    Ok(())
}

/// Returns the column of defaults in the table of variables, by name of the variable.
fn documented_defaults() -> anyhow::Result<BTreeMap<String, String>> {
    let document = read(&project().join("docs/configuration.md"))?;
    let rows = document
        .lines()
        .filter(|row| row.starts_with("| `FOREVER200_"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().context("no name")?;
        let default = cells.next().context("no default")?;
        Ok((
            name.trim_matches(['|', ' ', '`']).to_owned(),
            default.to_owned(),
        ))
    })
    .collect()
}

/// Returns the defaults that `--help` tells, by name of the variable; `None` for a variable without
/// one.
fn variables_of_help(
    program: &str,
    arguments: &[&str],
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let output = command(programs()?.join(program))
        .args(arguments)
        .output()?;
    let help = String::from_utf8(output.stdout)?;
    let mentions = help.split("[env: ").skip(1);
    mentions
        .map(|rest| {
            let (name, rest) = rest.split_once('=').context("a variable without a value")?;
            let until_next = rest.split("[env: ").next().unwrap_or(rest);
            // The default stands on the same or on the next line, before the next flag.
            let of_flag = until_next.split("\n\n").next().unwrap_or(until_next);
            let default = of_flag
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split(']').next());
            Ok((name.to_owned(), default.map(str::to_owned)))
        })
        .collect()
}

/// Returns the variables for which a file for haproxy has a default, in the form `presetenv NAME
/// VALUE`, `${NAME-VALUE}` or `${NAME:-VALUE}`.
fn defaults_for_haproxy(text: &str) -> Vec<(&str, &str)> {
    let preset = between(text, "presetenv ", '\n').into_iter();
    let preset = preset.filter_map(|it| it.split_once(' '));
    let substituted = between(text, "${", '}').into_iter();
    let substituted = substituted.filter_map(|it| it.split_once('-'));
    preset
        .chain(substituted)
        .map(|(name, value)| (name.trim_end_matches(':'), value))
        .filter(|(name, value)| name.starts_with("FOREVER200_") && !value.is_empty())
        .collect()
}

#[test]
fn the_table_of_variables_agrees_with_the_help_of_the_programs() -> anyhow::Result<()> {
    let documented = documented_defaults()?;
    let mut seen = BTreeSet::new();
    for (program, arguments) in [
        ("forever200-fleet", vec!["collect", "--help"]),
        ("forever200-responder", vec!["--help"]),
        ("forever200-viewer", vec!["--help"]),
        ("forever200-viewer", vec!["health", "--help"]),
    ] {
        let variables = variables_of_help(program, &arguments)?;
        ensure!(!variables.is_empty(), "{program} {arguments:?}: none");
        for (name, default) in variables {
            let cell = documented
                .get(&name)
                .with_context(|| format!("no row for {name}"))?;
            if let Some(default) = default {
                ensure!(
                    cell.contains(&format!("`{default}`")),
                    "{name}: {default}, not {cell}"
                );
            }
            seen.insert(name);
        }
    }
    ensure!(seen.len() >= 15, "--help is not read: {seen:?}");
    let mut found = 0;
    for file in ["haproxy/haproxy.cfg", "supervisor/haproxy"] {
        for (name, default) in defaults_for_haproxy(&read(&project().join(file))?) {
            let cell = documented.get(name);
            let cell = cell.with_context(|| format!("no row for {name}"))?;
            let agrees = cell.contains(&format!("`{default}`"));
            ensure!(agrees, "{file}: {name}: {default}, not {cell}");
            found += 1;
        }
    }
    ensure!(
        found >= 8,
        "the defaults for haproxy are not found: {found}"
    );
    let others = [
        "haproxy/haproxy.cfg",
        "supervisord.conf",
        "supervisor/certificate",
        "supervisor/haproxy",
    ];
    let others: Vec<String> = others
        .iter()
        .map(|name| read(&project().join(name)))
        .collect::<Result<_, _>>()?;
    for name in documented.keys().filter(|name| !seen.contains(*name)) {
        let is_read = others.iter().any(|file| file.contains(name.as_str()));
        ensure!(is_read, "nothing reads {name}");
    }
    Ok(())
}

/// Returns every text that stands between `before` and `after`.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    let rests = text.split(before).skip(1);
    rests.filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn what_the_forms_for_issues_name_exists() -> anyhow::Result<()> {
    let folder = project().join(".github");
    let read = |name: &str| read(&folder.join(name));
    let wrong_label = read("ISSUE_TEMPLATE/wrong-label.yml")?;
    let bug = read("ISSUE_TEMPLATE/bug.yml")?;
    let pull_request = read("pull_request_template.md")?;
    // The title must be there, because people search for it.
    let shown = wrong_label.split_once("id: shown").context("no field")?.1;
    let title = between(shown, "placeholder: ", '\n')[0];
    let signatures = project().join("crates/identify/signatures");
    let mut titles = String::new();
    for entry in std::fs::read_dir(signatures)? {
        titles += &self::read(&entry?.path())?;
    }
    ensure!(titles.contains(&format!("title = \"{title}\"")), "{title}");
    // The formats that the page of a request offers.
    let page = self::read(&project().join("crates/viewer/templates/request.html"))?;
    for link in between(&wrong_label, " \"", '"').iter().take(2) {
        ensure!(page.contains(&format!(">{link}</a>")), "{link}");
    }
    let makefile = self::read(&project().join("Makefile"))?;
    let running = self::read(&project().join("docs/running.md"))?;
    let forms = [wrong_label, bug.clone(), pull_request].concat();
    for target in between(&forms, "make ", '`') {
        let target = target
            .split(|it: char| !it.is_alphanumeric() && it != '-')
            .next();
        let target = target.unwrap_or_default();
        ensure!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    let ways = between(&bug, "options: [", ']')[0].split(", ");
    for way in ways.filter(|way| !way.starts_with("make ") && *way != "other") {
        ensure!(running.contains(way), "{way}");
    }
    Ok(())
}
