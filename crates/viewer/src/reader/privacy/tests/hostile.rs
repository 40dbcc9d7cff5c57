//! Tests of requests that cost a sender little and might cost this machine much.

use std::time::Duration;

use super::*;
use crate::reader::privacy::blank::{AGAIN_WORK, FIRST_WORK};

const BYTES: usize = 64 * 1024;
const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: honey.example.net\r\n\r\n";

/// Hides as many texts as can be hidden: names, and addresses of IPv4 and IPv6.
fn privacy() -> Privacy {
    let texts = (0..64).map(|number| match number % 4 {
        0 => format!("203.0.113.{number}"),
        1 => format!("2001:db8::{number}"),
        2 => format!("host-203-0-113-{number}.example.net"),
        _ => format!("my secret{number}.honey.example.net"),
    });
    let list: Vec<_> = texts.chain([HOST.to_owned()]).skip(1).collect();
    Privacy {
        mask_sources: true,
        ..hiding(&list.join(","))
    }
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns bytes that look random.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut random = seed;
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Returns the pieces of hostile records.
fn parts() -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = [
        &b"\x78\x9c"[..],
        b"\x1f\x8b\x08",
        b"\x1f\x8b\x08\0\0\0\0\0\0\0",
        b"x^2 ",
        b"x^",
        b"x\x01",
        b"x\xda\x03",
        b"A",
        b"VVVV",
        b"aaaa",
        b"eA==",
        b"%",
        b"%25",
        b"%41",
        b"+",
        b"\\u0041",
        b"\\056",
        b"\\u{41}",
        b"\\",
        b"1.",
        b"1",
        b"010.",
        b"0777.",
        b"256.1.",
        b"1.1.999.",
        b"0x1.",
        b"203.0.113.",
        b"1::",
        b"1:1:1:1:1:1:1::",
        b"2001:db8::",
        b":",
        b"a:",
        b"a-b--",
        b"f.",
        b"::1.2.3.4:",
        b"a\0",
        b"\0a",
        b"1\0.\0",
        b"\x01a",
        b"203",
        b"honey.example.",
        b"honey.example.net ",
        b"203.0.113.7 ",
        b"my+secret",
        b"my%20",
        b"/",
        b"\r\n",
        b"\r\n ",
        b"x: y\r\n",
        b"\xff",
        b"{\"a\":",
        b"<a>",
    ]
    .iter()
    .map(|part| part.to_vec())
    .collect();
    let text = b"some words in a row, and/more+of_them; 12:30 1.2.3 ".repeat(8);
    for _ in 0..3 {
        for length in [30, 1000, 30_000] {
            parts.push(noise(length, parts.len() as u32));
        }
    }
    parts.push(zlib(&[b'a'; 100_000]));
    parts.push(zlib(&[b'x'; 5_000]));
    parts.push(zlib(&b"1.1.".repeat(20_000)));
    parts.push(zlib(&b"%41".repeat(9_000)));
    parts.push(zlib(&zlib(&[b'a'; 200_000])));
    parts.push(zlib(&noise(200, 9)));
    parts.push(gzip(&b"1::".repeat(40_000)));
    let mut nested = text.clone();
    for _ in 0..4 {
        nested = BASE64_STANDARD.encode(nested).into_bytes();
        parts.push(nested.clone());
    }
    parts.push(BASE64_STANDARD.encode(noise(9_000, 3)).into_bytes());
    parts.push(BASE64_STANDARD.encode(zlib(&[b'a'; 100_000])).into_bytes());
    parts.push(BASE64_STANDARD.encode(b"%41".repeat(99)).into_bytes());
    parts.push(BASE64_STANDARD.encode(b"1.".repeat(99)).into_bytes());
    parts.push(text);
    parts
}

/// Repeats these parts to the length of a record.
fn filled_with(parts: &[&[u8]], length: usize) -> Vec<u8> {
    let mut raw = HEAD.to_vec();
    let unit = parts.concat();
    while raw.len() < length && !unit.is_empty() {
        raw.extend_from_slice(&unit);
    }
    raw.truncate(length);
    raw
}

fn work(privacy: &Privacy, raw: &[u8]) -> (usize, bool) {
    let source = Some([198, 51, 100, 9].into());
    let blanked = Blanker::new(privacy.hidden.texts(), source.as_slice()).blank(raw);
    (blanked.work, blanked.is_unfinished)
}

/// Returns the CPU time of this thread, in steps of a clock tick.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Returns the CPU time of examining a record once. It is examined often enough that clock ticks do
/// not matter.
fn time(privacy: &Privacy, raw: &[u8]) -> Duration {
    let kept = record(raw);
    let start = cpu_time();
    let mut looks = 0;
    while cpu_time() - start < Duration::from_millis(50) {
        std::hint::black_box(privacy.show(&kept));
        looks += 1;
    }
    (cpu_time() - start) / looks
}

#[test]
#[ignore = "prints what a release build takes: cargo test --release -p forever200-viewer --lib hostile -- --ignored --nocapture"]
fn cpu_time_of_hostile_records() {
    let privacy = privacy();
    let mut rows = Vec::new();
    let only = std::env::var("ONLY").unwrap_or_default();
    for part in parts() {
        if !part.escape_ascii().to_string().starts_with(&only) {
            continue;
        }
        let raw = filled_with(&[&part], BYTES);
        let (work, unfinished) = work(&privacy, &raw);
        rows.push((time(&privacy, &raw), work, unfinished, part));
    }
    rows.sort_unstable_by_key(|row| row.0);
    for (time, work, unfinished, part) in &rows {
        let name: String = part[..part.len().min(24)].escape_ascii().to_string();
        println!(
            "{time:>12?} {work:>8} {unfinished:>5} {:>6} {name}",
            part.len()
        );
    }
    let ordinary = b"GET /index.php?s=/Index/%5Cthink%5Capp/invoke&id=1+2 HTTP/1.1\r\nHost: 203.0.113.4:80\r\n\
        User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0.4664.110 Safari/537.36\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\nConnection: close\r\n\
        Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\r\n";
    println!(
        "ordinary, {} bytes: {:?}, {:?}",
        ordinary.len(),
        time(&privacy, ordinary),
        work(&privacy, ordinary)
    );
    for length in [BYTES, 1_000_000] {
        let raw = filled_with(&[b"some words in a row, and more of them; 12:30 "], length);
        println!(
            "words, {length} bytes: {:?} {:?}",
            time(&privacy, &raw),
            work(&privacy, &raw)
        );
        let raw = filled_with(
            &[BASE64_STANDARD.encode(noise(length * 3 / 4, 3)).as_bytes()],
            length,
        );
        println!(
            "base64, {length} bytes: {:?} {:?}",
            time(&privacy, &raw),
            work(&privacy, &raw)
        );
        let raw = filled_with(&[&noise(length, 3)], length);
        println!(
            "noise, {length} bytes: {:?} {:?}",
            time(&privacy, &raw),
            work(&privacy, &raw)
        );
    }
}

#[test]
#[ignore = "searches for the dearest record, SECONDS long: see cpu_time_of_hostile_records"]
fn dearest_record() {
    let privacy = privacy();
    let parts = parts();
    let seconds = std::env::var("SECONDS").map_or(60, |text| text.parse().unwrap());
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    let mut random = 7_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let mut best: (Duration, Vec<usize>) = (Duration::ZERO, vec![0]);
    let mut current = best.clone();
    let mut since = 0;
    while std::time::Instant::now() < end {
        let mut trial = current.1.clone();
        match next(4) {
            0 if trial.len() < 12 => trial.insert(next(trial.len() + 1), next(parts.len())),
            1 if trial.len() > 1 => drop(trial.remove(next(trial.len()))),
            _ => {
                let at = next(trial.len());
                trial[at] = next(parts.len());
            }
        }
        let chosen: Vec<&[u8]> = trial.iter().map(|&part| &parts[part][..]).collect();
        let raw = filled_with(&chosen, BYTES);
        let time = time(&privacy, &raw);
        since += 1;
        if time > current.0 {
            current = (time, trial);
            since = 0;
        }
        if current.0 > best.0 {
            best = current.clone();
            let names: Vec<_> = best
                .1
                .iter()
                .map(|&at| {
                    let part = &parts[at];
                    format!(
                        "{}*{}",
                        part.len(),
                        part[..part.len().min(12)].escape_ascii()
                    )
                })
                .collect();
            println!("{time:?} {:?} {names:?}", work(&privacy, &raw));
        }
        if since > 60 {
            // Another hill.
            current = (
                Duration::ZERO,
                (0..=next(4)).map(|_| next(parts.len())).collect(),
            );
            since = 0;
        }
    }
}

#[test]
fn no_record_takes_more_work_than_is_allowed() {
    let privacy = privacy();
    for part in parts() {
        let raw = filled_with(&[&part], BYTES);
        let (work, _) = work(&privacy, &raw);
        assert!(
            work <= FIRST_WORK + AGAIN_WORK,
            "{work}: {}",
            part[..part.len().min(40)].escape_ascii()
        );
    }
}
