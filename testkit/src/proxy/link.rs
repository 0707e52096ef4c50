//! One connection through a proxy, from its first byte to the end that either side, or the proxy, makes of
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::manner::{Cut, Manner, Shared};
use super::readdress::Readdress;

/// After so long TCP sends again what nobody has acknowledged.
const RETRANSMISSION: Duration = Duration::from_millis(250);
/// One in so many lost messages takes the connection with it.
const BROKEN_BY_LOSS: u32 = 20;

/// What happens to a message on its way.
enum Way {
    Through,
    Broken,
}

/// Holds a message up for as long as it has to be. `born` is the manner in which its connection was made.
async fn hold(manner: &mut watch::Receiver<Manner>, born: &Manner, bytes: usize) -> Way {
    let now = loop {
        let now = *manner.borrow_and_update();
        if !now.stalled && now.forgotten == born.forgotten {
            break now;
        }
        if manner.changed().await.is_err() {
            return Way::Broken;
        }
    };
    let mut wait = now.delay;
    if let Some(rate) = now.rate {
        wait += Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1)));
    }
    if fastrand::u32(..1_000) < now.lost_per_mille {
        if fastrand::u32(..BROKEN_BY_LOSS) == 0 {
            return Way::Broken;
        }
        wait += RETRANSMISSION;
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Way::Through
}

/// Reads as much as the manner of the proxy lets pass in one go.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    manner: &watch::Receiver<Manner>,
) -> usize {
    // A slow connection hands on what a quarter of a second lets pass.
    let most = manner.borrow().rate.map_or(buffer.len(), |rate| (rate as usize / 4).clamp(1, buffer.len()));
    from.read(&mut buffer[..most]).await.unwrap_or(0)
}

/// Carries one connection until either side ends it, or it is cut.
pub async fn carry(near: TcpStream, far: TcpStream, mut readdress: Option<Readdress>, shared: Arc<Shared>) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let (mut there_manner, mut back_manner) = (shared.manner.subscribe(), shared.manner.subscribe());
    let mut life = shared.manner.subscribe();
    let born = *life.borrow();
    let withheld = AtomicBool::new(false);
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        // How much the server still gets before the cut.
        let mut left = None;
        loop {
            let length = read(&mut near_read, &mut buffer, &there_manner).await;
            if length == 0 {
                return;
            }
            shared.sent.fetch_add(1, Ordering::SeqCst);
            if matches!(hold(&mut there_manner, &born, length).await, Way::Broken) {
                return;
            }
            let mut sent = &buffer[..length];
            if left.is_none() {
                match shared.ordered(sent) {
                    Some((Cut::Before, _)) => return,
                    Some((Cut::Within(bytes), end)) => left = Some(end + bytes),
                    Some((Cut::Answer, _)) => withheld.store(true, Ordering::SeqCst),
                    None => {}
                }
            }
            if let Some(left) = &mut left {
                sent = &sent[..sent.len().min(*left)];
                *left -= sent.len();
            }
            if far_write.write_all(sent).await.is_err() || left == Some(0) {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = read(&mut far_read, &mut buffer, &back_manner).await;
            if length == 0 || matches!(hold(&mut back_manner, &born, length).await, Way::Broken) {
                return;
            }
            if withheld.load(Ordering::SeqCst) {
                return;
            }
            let written = match &mut readdress {
                Some(readdress) => near_write.write_all(&readdress.pass(&buffer[..length])).await,
                None => near_write.write_all(&buffer[..length]).await,
            };
            if written.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = life.wait_for(|manner| manner.age != born.age) => {}
    }
}
