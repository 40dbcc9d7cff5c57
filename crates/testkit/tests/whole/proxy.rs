//! The faulty connection to memcached has the faults that a test sets, and no others.

use std::time::{Duration, Instant};

use forever200_testkit::{Between, Fault, Memcached};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends a command on a new connection. Returns what comes within a second or until the end.
async fn ask(address: &str, command: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(command.as_bytes()).await?;
    let mut answer = vec![0; 1000];
    let count = timeout(Duration::from_secs(1), stream.read(&mut answer))
        .await
        .unwrap_or(Ok(0))
        .unwrap_or(0);
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

#[tokio::test]
async fn each_fault_is_what_it_says() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let (direct, between) = (
        memcached.address(),
        Between::start(memcached.address()).await?,
    );
    let line = between.address();
    assert_eq!(ask(&line, "set n 0 0 1\r\n1\r\n").await?, "STORED\r\n");
    assert_eq!(
        (ask(&line, "incr n 1\r\n").await?, between.happened()),
        ("2\r\n".into(), 0)
    );
    // memcached executes the command, but the client gets no answer.
    between.once(Fault::CutAnswer(0));
    assert_eq!(ask(&line, "incr n 1\r\n").await?, "");
    assert_eq!(ask(&direct, "incr n 0\r\n").await?, "3\r\n");
    between.once(Fault::CutAnswer(2));
    assert_eq!(ask(&line, "get n\r\n").await?, "VA");
    // memcached does not get the command.
    between.once(Fault::CutCommand);
    assert_eq!(ask(&line, "incr n 1\r\n").await?, "");
    assert_eq!(ask(&direct, "incr n 0\r\n").await?, "3\r\n");
    between.always(Some(Fault::Nonsense(b"what?\r\n".to_vec())));
    assert_eq!(
        (
            ask(&line, "incr n 0\r\n").await?,
            ask(&line, "get n\r\n").await?
        ),
        ("what?\r\n".into(), "what?\r\n".into())
    );
    between.always(Some(Fault::Delay(Duration::MAX)));
    assert_eq!(ask(&line, "incr n 0\r\n").await?, "");
    between.always(Some(Fault::Delay(Duration::from_millis(100))));
    let start = Instant::now();
    assert_eq!(ask(&line, "incr n 0\r\n").await?, "3\r\n");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(between.happened(), 7);
    between.mend();
    assert_eq!(
        (ask(&line, "incr n 0\r\n").await?, between.happened()),
        ("3\r\n".into(), 7)
    );
    Ok(())
}
