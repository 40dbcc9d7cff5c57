//! One source, or its whole network if addresses are masked: what it sent, and which other sources
//! are in its network.
//!
//! In: an address. Out: the content of its page. Ports, hosts, user agents and fingerprints are
//! counted over the last requests, because the collection does not count them. This needs only
//! columns, and no request is described again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use rusqlite::{Connection, params};

use crate::history::Questions;
use crate::history::row::integer;
use crate::history::secrets::Secrets;
use crate::history::sources::{
    COLUMNS, Group, KindOfSource, MOST_OF_NETWORK, Source, json_list, kinds_of, most_frequent,
};
use crate::reader::privacy::{Privacy, Senders, V6_OF_V4, network};

/// How many of the last requests of a source are read.
pub(crate) const MOST_LOOKED_AT: usize = 500;
/// Most kinds that are listed.
const MOST_KINDS: usize = 100;
/// Most ports that are listed; also most names, most user agents and most fingerprints.
const MOST_NAMED: usize = 20;
/// Most other sources of its network that are listed, the last seen first.
const MOST_NEIGHBOURS: usize = 12;

/// What the page of a source says.
#[derive(Debug)]
pub(crate) struct OneSource {
    pub(crate) source: Source,
    pub(crate) kinds: Vec<KindOfSource>,
    /// How many of its last requests were read for ports, hosts, user agents and fingerprints.
    pub(crate) looked_at: usize,
    pub(crate) ports: Vec<(u16, u64)>,
    pub(crate) hosts: CountedTexts,
    pub(crate) user_agents: CountedTexts,
    pub(crate) ja4: CountedTexts,
    pub(crate) neighbours: Vec<Source>,
    pub(crate) more_neighbours: usize,
}

/// Texts that clients sent, each with how often it was sent.
#[derive(Debug, Default)]
pub(crate) struct CountedTexts {
    pub(crate) texts: Vec<(String, Count)>,
}

/// How often a text was sent, and the senders whose addresses are hidden in it.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) senders: Senders,
}

/// Counts of the last requests of a source.
#[derive(Default)]
struct Sample {
    looked_at: usize,
    ports: HashMap<u16, u64>,
    /// Hosts, user agents and fingerprints.
    texts: [HashMap<String, Count>; 3],
}

impl Questions {
    /// Returns what is known of a source, or of its network if addresses are masked; `None` if the
    /// history has no row of it.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn one_source(
        &self,
        address: IpAddr,
        privacy: &Privacy,
    ) -> rusqlite::Result<Option<OneSource>> {
        self.ask(|file| {
            let mut own = Joined::default();
            if privacy.mask_sources {
                each_of_network(file, address, |row| own.add(row, privacy))?;
            } else {
                let query = format!("SELECT {COLUMNS} FROM source WHERE address = ?1");
                let address = address.to_string();
                each_row(file, &query, &[&address], |row| own.add(row, privacy))?;
            }
            let Some(group) = own.group else {
                return Ok(None);
            };
            let senders = own.senders;
            let mut secrets = Secrets::new(file, privacy);
            let sample = Sample::of(file, &senders, &mut secrets)?;
            let ids = json_list(&group.ids);
            let (neighbours, more_neighbours) = neighbours(file, address, privacy)?;
            let ports = most_frequent(sample.ports, MOST_NAMED, |count| *count);
            let [hosts, user_agents, ja4] = sample.texts.map(CountedTexts::new);
            Ok(Some(OneSource {
                source: group.finish(file, &secrets)?,
                kinds: kinds_of(file, &ids, MOST_KINDS, &secrets)?.0,
                looked_at: sample.looked_at,
                ports,
                hosts,
                user_agents,
                ja4,
                neighbours,
                more_neighbours,
            }))
        })
    }
}

/// A group of one source, with its id and its address.
type SourceRow = (Group, i64, IpAddr);

/// Several sources as one group.
#[derive(Default)]
struct Joined {
    group: Option<Group>,
    /// Id and address of each source, at most [`MOST_OF_NETWORK`].
    senders: Vec<(i64, IpAddr)>,
}

impl Joined {
    fn add(&mut self, (mut group, id, address): SourceRow, privacy: &Privacy) {
        if self.senders.len() < MOST_OF_NETWORK {
            self.senders.push((id, address));
        }
        (group.address, group.prefix) = privacy.source(group.address);
        match &mut self.group {
            Some(all) => all.add(&group),
            none => *none = Some(group),
        }
    }
}

/// Passes each source in the network of an address to `give`.
fn each_of_network(
    file: &Connection,
    address: IpAddr,
    mut give: impl FnMut(SourceRow),
) -> rusqlite::Result<()> {
    let own = network(address.to_canonical());
    let query = format!("SELECT {COLUMNS} FROM source WHERE address >= ?1 AND address < ?2");
    for (from, to) in ranges(own.0) {
        each_row(file, &query, &[&from, &to], |row| {
            if network(row.2) == own {
                give(row);
            }
        })?;
    }
    Ok(())
}

fn each_row(
    file: &Connection,
    query: &str,
    values: &[&dyn rusqlite::ToSql],
    mut give: impl FnMut(SourceRow),
) -> rusqlite::Result<()> {
    let mut statement = file.prepare_cached(query)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        // Not masked: what is shown of the address is decided later.
        if let Some(group) = Group::read(row, &Privacy::default())? {
            let address = group.address;
            give((group, row.get(0)?, address));
        }
    }
    Ok(())
}

/// Returns ranges of texts between which all addresses of a network are, and some others. The text
/// of an IPv6 address leaves out a run of zeros (RFC 5952), so that it may begin in several ways.
fn ranges(network: IpAddr) -> Vec<(String, String)> {
    let beginnings = match network {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            vec![format!("{a}.{b}.{c}.")]
        }
        IpAddr::V6(ip) => beginnings(ip),
    };
    let range = |from: String| {
        // Ends with the next character in place of the last: '/' follows '.', and ';' follows ':'.
        let mut to = from.clone();
        let last = to
            .pop()
            .map_or('/', |char| if char == '.' { '/' } else { ';' });
        to.push(last);
        (from, to)
    };
    beginnings.into_iter().map(range).collect()
}

fn beginnings(ip: Ipv6Addr) -> Vec<String> {
    let [a, b, c, ..] = ip.segments();
    if a == V6_OF_V4 {
        // The network ends in the middle of the third number.
        return vec![format!("{a:x}:{b:x}:"), format!("{a:x}::")];
    }
    let mut all = vec![format!("{a:x}:{b:x}:{c:x}:")];
    if c == 0 {
        all.push(format!("{a:x}:{b:x}::"));
        if b == 0 {
            all.push(format!("{a:x}::"));
            if a == 0 {
                all.push("::".to_owned());
            }
        }
    }
    all
}

/// Returns other sources of the network, the last seen first, and how many more there are.
fn neighbours(
    file: &Connection,
    address: IpAddr,
    privacy: &Privacy,
) -> rusqlite::Result<(Vec<Source>, usize)> {
    // A network that is shown as one source has no neighbours.
    if privacy.mask_sources {
        return Ok((Vec::new(), 0));
    }
    let mut latest = BTreeMap::new();
    let mut more = 0;
    each_of_network(file, address, |(group, id, it)| {
        if it == address {
            return;
        }
        latest.insert(Reverse((group.last(), id)), group);
        if latest.len() > MOST_NEIGHBOURS {
            latest.pop_last();
            more += 1;
        }
    })?;
    let secrets = Secrets::new(file, privacy);
    let found = latest
        .into_values()
        .map(|group| group.finish(file, &secrets));
    Ok((found.collect::<rusqlite::Result<_>>()?, more))
}

impl Sample {
    fn of(
        file: &Connection,
        senders: &[(i64, IpAddr)],
        secrets: &mut Secrets<'_>,
    ) -> rusqlite::Result<Self> {
        let mut sample = Self::default();
        let most = (MOST_LOOKED_AT / senders.len().max(1)).max(1);
        let mut statement = file.prepare_cached(
            "SELECT dest_port, host, user_agent, ja4, payload FROM request \
             CROSS JOIN way ON way.id = way CROSS JOIN payload ON payload.id = payload \
             WHERE source = ?1 ORDER BY seq DESC LIMIT ?2",
        )?;
        for (id, sender) in senders {
            let mut rows = statement.query(params![id, integer(most as u64)])?;
            while let Some(row) = rows.next()? {
                let hidden = secrets.senders(*sender, row.get(4)?)?;
                sample.looked_at += 1;
                *sample.ports.entry(row.get(0)?).or_default() += 1;
                for (column, texts) in (1..).zip(&mut sample.texts) {
                    if let Some(text) = row.get::<_, Option<String>>(column)? {
                        let count = texts.entry(text).or_default();
                        count.requests += 1;
                        count.senders.add(&hidden);
                    }
                }
            }
        }
        Ok(sample)
    }
}

impl CountedTexts {
    fn new(counts: HashMap<String, Count>) -> Self {
        let texts = most_frequent(counts, MOST_NAMED, |count| count.requests);
        Self { texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_network_are_between_its_texts() {
        for address in [
            "203.0.113.7",
            "1.2.3.4",
            "2001:db8:1::5",
            "2001:db8:1:2:3:4:5:6",
            "2001:db8::5",
            "2001:db8:0:1:2:3:4:5",
            "2001:0:0:1::",
            "2001::1",
            "2002:c000:207::1",
            "2002::1",
            "2001:0:0:1:2:3:4:5",
            "::1",
            "0:0:0:1:2:3:4:5",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let text = address.to_string();
            let ranges = ranges(network(address).0);
            let is_in = |(from, to): &(String, String)| *from <= text && text < *to;
            assert!(ranges.iter().any(is_in), "{text} in {ranges:?}");
        }
    }
}
