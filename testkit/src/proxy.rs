//! A TCP connection that can be made to stand still, to take its time, to lose what it carries, or to be cut
//! where it hurts most.
//!
//! A broker tells its clients where to find it, and they go there whatever address they began with. So the
//! proxy in front of a Kafka replaces the broker's address by its own in whatever the broker says.

mod link;
mod manner;
mod readdress;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use self::link::carry;
pub use self::manner::Cut;
use self::manner::{Manner, Order, Shared};
use self::readdress::Readdress;

/// Forwards connections as long as it lives.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of an address.
    pub async fn start(target: String) -> Self {
        Self::listen(target, |_| None).await
    }

    /// Starts a proxy in front of a PostgreSQL, or whatever has a URL; returns the address to use in place of
    /// `url`.
    pub async fn in_front_of(url: &str) -> (Self, String) {
        let mut url = reqwest::Url::parse(url).unwrap();
        let proxy = Self::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())).await;
        url.set_port(Some(proxy.port)).unwrap();
        (proxy, url.into())
    }

    /// Starts a proxy in front of a Kafka of one broker; returns the address to use in place of `servers`.
    pub async fn in_front_of_kafka(servers: &str) -> (Self, String) {
        let (host, port) = servers.rsplit_once(':').expect("a host and a port");
        let (host, port) = (host.to_owned(), port.parse().expect("a port"));
        let proxy =
            Self::listen(servers.to_owned(), |own_port| Some(Readdress::new(&host, port, own_port))).await;
        let address = format!("{host}:{}", proxy.port);
        (proxy, address)
    }

    async fn listen(target: String, readdress: impl FnOnce(u16) -> Option<Readdress>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(listener, target, readdress(port), shared.clone()));
        Self { port, shared, task }
    }

    fn change(&self, change: impl FnOnce(&mut Manner)) {
        self.shared.manner.send_modify(change);
    }

    /// Lets everything stand still, or go on.
    pub fn stall(&self, stalled: bool) {
        self.change(|manner| manner.stalled = stalled);
    }

    /// Lets each message take this much longer, there and back.
    pub fn delay(&self, each: Duration) {
        self.change(|manner| manner.delay = each);
    }

    /// Lets no more than so many bytes pass in a second, there and back.
    pub fn throttle(&self, rate: Option<u32>) {
        self.change(|manner| manner.rate = rate);
    }

    /// Loses so many of a thousand messages.
    pub fn lose(&self, per_mille: u32) {
        self.change(|manner| manner.lost_per_mille = per_mille);
    }

    /// Cuts all connections; new ones are taken.
    pub fn sever(&self) {
        self.change(|manner| manner.age += 1);
    }

    /// Takes whatever comes on the connections that are there, and carries none of it any more, as a router
    /// that has lost its table; new ones are carried.
    pub fn forget(&self) {
        self.change(|manner| manner.forgotten += 1);
    }

    /// Cuts all connections and refuses new ones, or takes them again.
    pub fn refuse(&self, refused: bool) {
        self.change(|manner| {
            manner.refused = refused;
            manner.age += u64::from(refused);
        });
    }

    /// Cuts the connections whose clients send `text`, so many times.
    pub fn cut(&self, text: &'static str, cut: Cut, times: usize) {
        *self.shared.order.lock() = (times > 0).then_some(Order { text, cut, times });
    }

    /// Returns how often clients have sent something.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Returns how many connections were cut because of what was sent.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections and has them carried; listens to nobody while they are to be refused.
async fn accept(first: TcpListener, target: String, readdress: Option<Readdress>, shared: Arc<Shared>) {
    let address = first.local_addr().unwrap();
    let mut listener = Some(first);
    let mut manner = shared.manner.subscribe();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if manner.borrow_and_update().refused {
            listener = None;
            let _ = manner.changed().await;
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await.unwrap(),
        };
        tokio::select! {
            accepted = open.accept() => {
                let Ok((near, _)) = accepted else { continue };
                if let Ok(far) = TcpStream::connect(&target).await {
                    connections.spawn(carry(near, far, readdress.clone(), shared.clone()));
                }
            }
            _ = manner.changed() => {}
        }
        listener = Some(open);
    }
}
