//! A TCP connection that can be made to stand still, to take its time, or to be cut where it hurts most.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where a connection is cut once its client has sent a certain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server has done it and answered; the answer never arrives.
    Answer,
}

struct Order {
    text: &'static str,
    cut: Cut,
    times: usize,
}

/// The address of a broker as it stands in its own answers, and what stands there instead: clients connect to
/// the address that a broker tells.
#[derive(Clone)]
struct Readdressed {
    told: Vec<u8>,
    instead: Vec<u8>,
}

impl Readdressed {
    /// Takes what has come, and returns what is whole of it. An answer of Kafka begins with its length.
    fn pass(&self, pending: &mut Vec<u8>) -> Vec<u8> {
        let mut whole = 0;
        while let Some(length) = pending[whole..].first_chunk::<4>() {
            let end = whole + 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap();
            if pending.len() < end {
                break;
            }
            whole = end;
        }
        let mut answers: Vec<u8> = pending.drain(..whole).collect();
        let mut at = 0;
        while let Some(found) = answers[at..].windows(self.told.len()).position(|bytes| bytes == self.told) {
            answers[at + found..at + found + self.told.len()].copy_from_slice(&self.instead);
            at += found + self.told.len();
        }
        answers
    }
}

#[derive(Default)]
struct Shared {
    stalled: AtomicBool,
    delay_ms: AtomicU64,
    order: Mutex<Option<Order>>,
    cuts: AtomicUsize,
    sent: AtomicUsize,
    readdressed: Option<Readdressed>,
}

impl Shared {
    /// Tells whether what a client sends is to be cut.
    fn ordered(&self, sent: &[u8]) -> Option<Cut> {
        let mut order = self.order.lock().unwrap();
        let current = order.as_mut()?;
        let text = current.text.as_bytes();
        if !sent.windows(text.len()).any(|window| window == text) {
            return None;
        }
        let cut = current.cut;
        current.times -= 1;
        if current.times == 0 {
            *order = None;
        }
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(cut)
    }

    async fn hold(&self) {
        while self.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let delay_ms = self.delay_ms.load(Ordering::SeqCst);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
    }
}

/// Forwards connections as long as it lives.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of an address.
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::listen(listener, target, Shared::default())
    }

    /// Starts a proxy in front of the one Kafka at `bootstrap_servers`, through which its clients stay.
    pub async fn in_front_of_kafka(bootstrap_servers: &str) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker: SocketAddr = bootstrap_servers.parse().unwrap();
        let told = |port: u16| [broker.ip().to_string().as_bytes(), &u32::from(port).to_be_bytes()].concat();
        let instead = told(listener.local_addr().unwrap().port());
        let readdressed = Some(Readdressed { told: told(broker.port()), instead });
        let proxy = Self::listen(listener, broker.to_string(), Shared { readdressed, ..Shared::default() });
        let address = format!("{}:{}", broker.ip(), proxy.port);
        (proxy, address)
    }

    fn listen(listener: TcpListener, target: String, shared: Shared) -> Self {
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(shared);
        let state = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                connections.spawn(carry(near, far, state.clone()));
            }
        });
        Self { port, shared, task }
    }

    /// Starts a proxy in front of a PostgreSQL; returns the address to use in place of `url`.
    pub async fn in_front_of(url: &str) -> (Self, String) {
        let mut url = reqwest::Url::parse(url).unwrap();
        let proxy = Self::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())).await;
        url.set_port(Some(proxy.port)).unwrap();
        (proxy, url.into())
    }

    /// Lets everything stand still, or go on.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// Lets each message take this much longer, there and back.
    pub fn delay(&self, each: Duration) {
        self.shared.delay_ms.store(u64::try_from(each.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Cuts the connections whose clients send `text`, so many times.
    pub fn cut(&self, text: &'static str, cut: Cut, times: usize) {
        *self.shared.order.lock().unwrap() = Some(Order { text, cut, times });
    }

    /// Returns how often clients have sent something.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Returns how many connections were cut.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries one connection until either side ends it, or it is cut.
async fn carry(near: TcpStream, far: TcpStream, shared: Arc<Shared>) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let withheld = AtomicBool::new(false);
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = near_read.read(&mut buffer).await {
            shared.sent.fetch_add(1, Ordering::SeqCst);
            shared.hold().await;
            match shared.ordered(&buffer[..length]) {
                Some(Cut::Before) => return,
                Some(Cut::Answer) => withheld.store(true, Ordering::SeqCst),
                None => {}
            }
            if far_write.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut pending = Vec::new();
        while let Ok(length @ 1..) = far_read.read(&mut buffer).await {
            shared.hold().await;
            if withheld.load(Ordering::SeqCst) {
                return;
            }
            pending.extend_from_slice(&buffer[..length]);
            let answers = match &shared.readdressed {
                Some(readdressed) => readdressed.pass(&mut pending),
                None => std::mem::take(&mut pending),
            };
            if near_write.write_all(&answers).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
