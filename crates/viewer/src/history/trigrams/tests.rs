use super::*;

/// An empty file.
fn empty() -> Connection {
    let file = Connection::open_in_memory().unwrap();
    let tables = include_str!("../../../../../docs/history.sql");
    file.execute_batch(tables).unwrap();
    file
}

/// A file with payloads of these ids, each with the text `payload ID end`.
fn file_with(ids: RangeInclusive<i64>) -> Connection {
    let file = empty();
    insert(&file, ids);
    file
}

fn insert(file: &Connection, ids: RangeInclusive<i64>) {
    for id in ids {
        let bytes = format!("GET /Payload{id}End HTTP/1.1\r\n\r\n").into_bytes();
        file.execute(
            "INSERT INTO payload (id, hash, bytes) VALUES (?1, ?2, ?3)",
            params![id, id.to_be_bytes(), bytes],
        )
        .unwrap();
    }
}

fn finders(texts: &[&[&str]]) -> Vec<Vec<Finder<'static>>> {
    let finder = |text: &&str| Finder::new(text.as_bytes()).into_owned();
    let list = |list: &&[&str]| list.iter().map(finder).collect();
    texts.iter().map(list).collect()
}

/// Which of the ids are in one of the ranges.
fn candidates(file: &Connection, texts: &[&[&str]], ids: RangeInclusive<i64>) -> Vec<i64> {
    let mut ranges = Vec::new();
    let end = visit_candidates(file, &finders(texts), |range| {
        if !range.is_empty() {
            ranges.push(range);
        }
        Ok(ControlFlow::Continue(()))
    });
    assert!(end.unwrap().is_continue());
    assert!(ranges.is_sorted_by(|newer, older| newer.start() > older.end()));
    ids.filter(|id| ranges.iter().any(|range| range.contains(id)))
        .collect()
}

fn filters(file: &Connection) -> Vec<i64> {
    let mut statement = file.prepare("SELECT id FROM trigrams ORDER BY id").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

fn make_all(file: &Connection) {
    let mut next = 0;
    for _ in 0..100 {
        add_missing(file, &mut next).unwrap();
    }
}

#[test]
fn only_blocks_that_may_contain_a_text_are_read() {
    let file = file_with(1..=2000);
    make_all(&file);
    assert_eq!(filters(&file), (0..7).collect::<Vec<_>>());

    // Block 3 has 768 to 1023, block 7 is not full.
    let of_900 = candidates(&file, &[&["payload900end"]], 1..=2000);
    assert!(of_900.contains(&900) && of_900.contains(&1792) && of_900.contains(&2000));
    assert!(of_900.len() < 1000, "{} of 2000 payloads", of_900.len());

    let of_none = candidates(&file, &[&["{{zzqqxx}}"]], 1..=2000);
    assert_eq!(of_none, (1792..=2000).collect::<Vec<_>>());
}

#[test]
fn a_visit_can_break_off_at_each_filter() {
    let file = file_with(1..=2000);
    make_all(&file);
    for texts in [["payload"], ["{{zzqqxx}}"]] {
        for most in 1..=8 {
            let mut visits = 0;
            let end = visit_candidates(&file, &finders(&[&texts]), |_| {
                visits += 1;
                Ok(if visits == most {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            });
            // Seven filters, and what is below them.
            assert_eq!((visits, end.unwrap().is_break()), (most, true));
        }
    }
}

#[test]
fn every_text_of_a_payload_leads_to_it() {
    let file = file_with(1..=1024);
    make_all(&file);
    for id in [1, 255, 256, 511, 512, 1000, 1023, 1024] {
        let whole = format!("get /payload{id}end http/1.1\r\n\r\n");
        for length in 1..whole.len() {
            for start in 0..whole.len() - length {
                let text = &whole[start..start + length];
                let found = candidates(&file, &[&[text]], id..=id);
                assert_eq!(found, [id], "{text:?}");
            }
        }
    }
}

#[test]
fn one_text_of_each_list_must_be_there() {
    let file = file_with(1..=600);
    make_all(&file);
    let full = |texts: &[&[&str]]| candidates(&file, texts, 1..=511).len();
    assert_eq!(full(&[&["{{zzqqxx}}", "payload"]]), 511);
    assert_eq!(full(&[&["{{zzqqxx}}"], &["payload"]]), 0);
    assert_eq!(full(&[&["ab"], &["{{zzqqxx}}"]]), 0);
    assert_eq!(
        full(&[&["{z", "{{zzqqxx}}"]]),
        511,
        "two bytes may be anywhere"
    );
}

#[test]
fn a_filter_goes_with_the_first_payload_that_goes() {
    let file = file_with(1..=300);
    let mut next = 0;
    add_missing(&file, &mut next).unwrap();
    assert_eq!(filters(&file), [0]);

    // The largest ids are used again, and the block is not full any more.
    file.execute("DELETE FROM payload WHERE id > 250", [])
        .unwrap();
    assert_eq!(filters(&file), [0i64; 0]);
    file.execute(
        "INSERT INTO payload (hash, bytes) VALUES (x'00', CAST('{{zzqqxx}}' AS BLOB))",
        [],
    )
    .unwrap();
    add_missing(&file, &mut next).unwrap();
    let found = candidates(&file, &[&["{{zzqqxx}}"]], 1..=251);
    assert!(found.contains(&251));

    insert(&file, 252..=600);
    make_all(&file);
    let found = candidates(&file, &[&["{{zzqqxx}}"]], 1..=600);
    assert_eq!(found, (1..=255).chain(512..=600).collect::<Vec<_>>());
}

#[test]
fn a_filter_is_as_large_as_its_payloads_need() {
    let file = empty();
    let mut draw = 1_u64;
    for id in 1..=1024_i64 {
        // Nothing new, text, noise, and more noise than fits.
        let block = (id / 256) as usize;
        let length = [10, 100, 1000, 64 * 1024][block.min(3)];
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (draw >> 56) as u8;
            [b'a', b'a' + noise % 16, noise, noise][block.min(3)]
        })
        .take(length)
        .collect();
        file.execute(
            "INSERT INTO payload (id, hash, bytes) VALUES (?1, ?2, ?3)",
            params![id, id.to_be_bytes(), bytes],
        )
        .unwrap();
    }
    make_all(&file);
    let mut lengths = file
        .prepare("SELECT length(bits) FROM trigrams ORDER BY id")
        .unwrap();
    let lengths: Vec<i64> = lengths
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lengths, [128, 2048, 0, 0]);
    let found = candidates(&file, &[&["{{zzqqxx}}"]], 256..=1023);
    assert_eq!(found.len(), 512, "an empty filter rules nothing out");
}
