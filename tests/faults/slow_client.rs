//! A client that stands still in the middle of its request.

use std::time::Duration;

use nyc311_testkit::Endpoint;

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (_database, endpoint) = Endpoint::with_database().await;
    let address = endpoint.url.trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/polls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(30), connection.read_to_string(&mut answer)).await;
    read.expect("an answer in time, and the end of the connection").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/problem+json") && body.contains("10 s"), "{answer}");
}
