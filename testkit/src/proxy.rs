//! A TCP connection that can be made to stand still, to take its time, or to be cut where it hurts most.

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

#[derive(Default)]
struct Shared {
    stalled: AtomicBool,
    delay_ms: AtomicU64,
    order: Mutex<Option<Order>>,
    cuts: AtomicUsize,
    sent: AtomicUsize,
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
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
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
        while let Ok(length @ 1..) = far_read.read(&mut buffer).await {
            shared.hold().await;
            if withheld.load(Ordering::SeqCst) {
                return;
            }
            if near_write.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
