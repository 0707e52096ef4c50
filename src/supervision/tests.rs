//! What supervision promises, on real Arbiters: rebuilt after a panic, an error and a hang; neighbours
//! survive; too many failures end with an exit code; a drain goes from the source to the sink.

mod ends;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;
use crate::telemetry::labels::StageName;

/// An actor that counts what it was asked in this life, and does what a test wants.
struct Probe {
    key: StageKey,
    life: Life,
    asked: u32,
    drained: Arc<Mutex<Vec<StageKey>>>,
    ended: Arc<AtomicU32>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Ask;

#[derive(Message)]
#[rtype(result = "()")]
struct Do(fn(&Life));

#[derive(Message)]
#[rtype(result = "()")]
struct PanicBeside;

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.life.running();
        // Work of its own, which keeps an actor alive that nobody has the address of.
        context.spawn(std::future::pending::<()>().into_actor(self));
    }
}

impl Handler<Ask> for Probe {
    type Result = u32;

    fn handle(&mut self, _: Ask, _: &mut Self::Context) -> u32 {
        self.asked += 1;
        self.asked
    }
}

impl Handler<Do> for Probe {
    type Result = ();

    fn handle(&mut self, Do(what): Do, _: &mut Self::Context) {
        what(&self.life);
    }
}

impl Handler<PanicBeside> for Probe {
    type Result = ();

    fn handle(&mut self, _: PanicBeside, context: &mut Self::Context) {
        context.spawn(async { panic!("on purpose") }.into_actor(self));
    }
}

/// Has the actor work at a future of its own.
#[derive(Message)]
#[rtype(result = "()")]
struct WorkAt(fn(Life) -> LocalBoxFuture<'static, ()>);

impl Handler<WorkAt> for Probe {
    type Result = ();

    fn handle(&mut self, WorkAt(work): WorkAt, context: &mut Self::Context) {
        context.spawn(work(self.life.clone()).into_actor(self));
    }
}

impl Handler<Drain> for Probe {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.drained.lock().push(self.key);
    }
}

struct Tree {
    board: Board,
    stages: Vec<(Arc<Stage<Probe>>, StageRef<Probe>)>,
    drained: Arc<Mutex<Vec<StageKey>>>,
    built: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
}

const NAMES: [StageName; 3] = [StageName::Writer, StageName::Aggregator, StageName::Poller];

impl Tree {
    fn new() -> Self {
        let (board, drained, built) = (Board::default(), Arc::default(), Arc::new(AtomicU32::new(0)));
        let ended = Arc::new(AtomicU32::new(0));
        let stages = NAMES.iter().enumerate().map(|(order, name)| {
            let key = StageKey { order: order as u8, name: *name, borough: None };
            let (drained, built): (Arc<Mutex<Vec<StageKey>>>, _) = (Arc::clone(&drained), Arc::clone(&built));
            let ended = Arc::clone(&ended);
            Stage::new(key, &board, move |life| {
                built.fetch_add(1, Ordering::Relaxed);
                Probe { key, life, asked: 0, drained: drained.clone(), ended: ended.clone() }
            })
        });
        let stages = stages.collect();
        Self { board, stages, drained, built, ended }
    }

    fn root(&self, max_restarts: u32, hang_after: Duration) -> Root {
        let policy = RestartPolicy {
            max_restarts,
            window: Duration::from_secs(60),
            backoff_initial: Duration::from_millis(5),
            backoff_max: Duration::from_millis(50),
            hang_after,
        };
        let children = self.stages.iter().map(|(stage, _)| stage.clone() as Arc<dyn Child>).collect();
        let group = Group { name: "probes", children, policy: policy.clone() };
        Root::new(vec![group], RestartPolicy { max_restarts: 1, ..policy })
    }

    /// Runs the root beside `test`, drains when the test is done, and returns the exit code.
    fn run(&self, max_restarts: u32, hang_after: Duration, test: impl AsyncFnOnce(&Self)) -> i32 {
        self.supervise(max_restarts, hang_after, async |stop| {
            test(self).await;
            let _ = stop.send(());
        })
    }

    /// As [`Tree::run`], but nobody stops it: it is to end by itself.
    fn run_to_its_end(&self, max_restarts: u32, hang_after: Duration, test: impl AsyncFnOnce(&Self)) -> i32 {
        self.supervise(max_restarts, hang_after, async |mut stop| {
            test(self).await;
            stop.closed().await;
        })
    }

    fn supervise(
        &self,
        max_restarts: u32,
        hang_after: Duration,
        body: impl AsyncFnOnce(oneshot::Sender<()>),
    ) -> i32 {
        let root = self.root(max_restarts, hang_after);
        actix_rt::System::new().block_on(async {
            let (stop, stopped) = oneshot::channel();
            let supervision = root.run(async move {
                let _ = stopped.await;
                Instant::now() + Duration::from_secs(5)
            });
            let both = async { tokio::join!(supervision, body(stop)).0 };
            tokio::time::timeout(Duration::from_secs(30), both).await.expect("supervision ends in time")
        })
    }

    async fn ask(&self, index: usize) -> Result<u32, StageGone> {
        self.stages[index].1.ask(Ask).await
    }

    async fn tell(&self, index: usize, what: fn(&Life)) {
        // The stage may die of it before it answers.
        let _ = self.stages[index].1.ask(Do(what)).await;
    }

    async fn work_at(&self, index: usize, work: fn(Life) -> LocalBoxFuture<'static, ()>) {
        self.stages[index].1.ask(WorkAt(work)).await.unwrap();
    }

    fn generations(&self) -> Vec<u64> {
        self.board.stages().iter().map(|stage| stage.generation).collect()
    }

    /// Waits until the stage lives in the given generation.
    async fn reaches(&self, index: usize, generation: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = &self.board.stages()[index];
            if status.generation >= generation && status.state == StageState::Running {
                return;
            }
            assert!(Instant::now() < deadline, "{status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn all_up(&self) {
        for index in 0..self.stages.len() {
            self.reaches(index, 1).await;
        }
    }
}

const NEVER: Duration = Duration::from_secs(60);

#[test]
fn a_stage_that_panics_is_built_anew_and_its_neighbours_live_on() {
    let printed = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        super::exit::remember_panic_location(info);
        printed(info);
    }));
    let tree = Tree::new();
    let code = tree.run(5, NEVER, async |tree| {
        tree.all_up().await;
        assert_eq!(tree.ask(0).await.unwrap(), 1);
        assert_eq!(tree.ask(1).await.unwrap(), 1);
        tree.tell(0, |_| panic!("on purpose")).await;
        tree.reaches(0, 2).await;
        assert_eq!(tree.ask(0).await.unwrap(), 1, "the new actor knows nothing of the old one");
        assert_eq!(tree.ask(1).await.unwrap(), 2, "the neighbour is the same actor");
        let status = &tree.board.stages()[0];
        assert_eq!(status.restarts, 1);
        let error = status.last_error.as_deref().unwrap_or_default();
        assert!(error.contains("on purpose") && error.contains("tests.rs"), "{error}");
    });
    assert_eq!(code, 0);
}

#[test]
fn a_panic_in_a_spawned_future_ends_the_stage_too() {
    let tree = Tree::new();
    tree.run(5, NEVER, async |tree| {
        tree.all_up().await;
        tree.stages[1].1.tell(PanicBeside);
        tree.reaches(1, 2).await;
    });
    assert_eq!(tree.built.load(Ordering::Relaxed), 4);
}

#[test]
fn a_stage_that_reports_an_error_is_built_anew() {
    let tree = Tree::new();
    tree.run(5, NEVER, async |tree| {
        tree.all_up().await;
        tree.tell(2, |life| life.fail(StageError::new("testing", "no more"))).await;
        tree.reaches(2, 2).await;
        assert_eq!(tree.board.stages()[2].last_error.as_deref(), Some("testing: no more"));
    });
}

#[test]
fn a_stage_that_hangs_gets_a_new_thread_and_what_was_given_up_ends_when_it_wakes() {
    let tree = Tree::new();
    tree.run(5, Duration::from_millis(200), async |tree| {
        tree.all_up().await;
        tree.stages[0].1.tell(Do(|_| std::thread::sleep(Duration::from_millis(1500))));
        tree.reaches(0, 2).await;
        assert_eq!(tree.ask(0).await.unwrap(), 1);
        assert_eq!(tree.ended.load(Ordering::Relaxed), 0, "a thread cannot be ended while it hangs");
        tokio::time::sleep(Duration::from_millis(1600)).await;
        assert_eq!(tree.ended.load(Ordering::Relaxed), 1, "two incarnations of the stage work side by side");
        assert_eq!(tree.ask(0).await.unwrap(), 2, "the stage was taken down by the thread that was given up");
        assert_eq!(tree.board.stages()[0].generation, 2);
    });
}

/// Work that makes a step and then waits for nothing that has a name, for ever.
fn hang(life: Life) -> LocalBoxFuture<'static, ()> {
    async move {
        life.work("a page", async {
            std::future::ready(()).named(Wait::Database).await;
            std::future::pending::<()>().await;
        })
        .await;
    }
    .boxed_local()
}

#[test]
fn a_future_that_never_ends_has_its_stage_built_anew_and_its_neighbours_live_on() {
    let tree = Tree::new();
    let code = tree.run(5, Duration::from_millis(200), async |tree| {
        tree.all_up().await;
        tree.work_at(1, hang).await;
        tree.reaches(1, 2).await;
        assert_eq!(tree.ask(1).await.unwrap(), 1, "the new actor knows nothing of the old one");
        assert_eq!(tree.generations(), [1, 2, 1]);
        let error = tree.board.stages()[1].last_error.clone().unwrap();
        assert_eq!(error, "a page stands still after it waited for the database, and waits for nothing now");
        assert_eq!(tree.ended.load(Ordering::Relaxed), 1, "the old actor is gone");
    });
    assert_eq!(code, 0);
}

#[test]
fn work_that_waits_under_a_name_or_makes_steps_is_left_alone_however_long_it_takes() {
    let tree = Tree::new();
    tree.run(5, Duration::from_millis(100), async |tree| {
        tree.all_up().await;
        tree.work_at(0, |life| {
            async move { life.work("waiting", std::future::pending::<()>().named(Wait::Kafka)).await }
                .boxed_local()
        })
        .await;
        tree.work_at(1, |life| {
            let steps = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(1)).named(Wait::Pause).await;
                }
            };
            async move { life.work("stepping", steps).await }.boxed_local()
        })
        .await;
        // As long as it takes to find the third, which hangs, and find it again.
        tree.work_at(2, hang).await;
        tree.reaches(2, 2).await;
        tree.work_at(2, hang).await;
        tree.reaches(2, 3).await;
        assert_eq!(tree.generations(), [1, 1, 3]);
    });
}

#[test]
fn a_stage_whose_work_hangs_again_and_again_ends_the_process_as_hung() {
    let tree = Tree::new();
    let code = tree.run_to_its_end(0, Duration::from_millis(50), async |tree| {
        for generation in 1..=2 {
            tree.reaches(1, generation).await;
            tree.work_at(1, hang).await;
        }
    });
    assert_eq!(code, crate::exit_code::HUNG);
}

#[test]
fn a_stage_that_is_ended_though_nobody_asked_is_built_anew() {
    let tree = Tree::new();
    tree.run(5, NEVER, async |tree| {
        tree.all_up().await;
        tree.stages[1].0.kill();
        tree.reaches(1, 2).await;
        assert_eq!(tree.generations(), [1, 2, 1]);
    });
}

#[test]
fn a_process_that_is_paused_again_and_again_gives_no_stage_up() {
    let tree = Tree::new();
    tree.run(5, Duration::from_millis(400), async |tree| {
        tree.all_up().await;
        for _ in 0..4 {
            // As a pause of the process is seen from inside: nothing turns, the thread that supervises
            // neither.
            (0..NAMES.len()).for_each(|stage| {
                tree.stages[stage].1.tell(Do(|_| std::thread::sleep(Duration::from_secs(1))))
            });
            std::thread::sleep(Duration::from_secs(1));
            // Shorter than it takes to look twice.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let generations: Vec<_> = tree.board.stages().iter().map(|stage| stage.generation).collect();
        assert_eq!(generations, [1, 1, 1]);
    });
}

#[test]
fn too_many_failures_rebuild_the_group_and_then_end_the_process() {
    let tree = Tree::new();
    // Nobody tells it to stop: it ends by itself.
    let root = tree.root(2, NEVER);
    let code = actix_rt::System::new().block_on(async {
        let again = async {
            loop {
                tree.tell(0, |_| panic!("again")).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            code = root.run(std::future::pending()) => code,
            () = again => unreachable!(),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it does not end"),
        }
    });
    assert_eq!(code, crate::exit_code::GAVE_UP);
    let generations: Vec<_> = tree.board.stages().iter().map(|stage| stage.generation).collect();
    assert_eq!(generations[0], 6, "three lives in each of two groups");
    assert_eq!(generations[1], 2, "the neighbour was rebuilt once, with its group");
}

#[test]
fn a_pipeline_that_gives_up_over_a_hang_says_so() {
    let tree = Tree::new();
    let code = tree.run_to_its_end(0, Duration::from_millis(100), async |tree| {
        for generation in 1..=2 {
            tree.reaches(1, generation).await;
            tree.stages[1].1.tell(Do(|_| std::thread::sleep(Duration::from_secs(3))));
        }
    });
    assert_eq!(code, crate::exit_code::HUNG);
}

#[test]
fn a_drain_goes_from_the_last_stage_to_the_first() {
    let tree = Tree::new();
    let code = tree.run(5, NEVER, async |tree| tree.all_up().await);
    assert_eq!(code, 0);
    let drained: Vec<_> = tree.drained.lock().iter().map(|key| key.name).collect();
    assert_eq!(drained, [StageName::Poller, StageName::Aggregator, StageName::Writer]);
    assert!(tree.board.stages().iter().all(|stage| stage.state == StageState::Stopped));
}

#[test]
fn asking_a_stage_that_is_being_rebuilt_is_an_error_and_not_a_wait() {
    let tree = Tree::new();
    tree.run(5, NEVER, async |tree| {
        tree.all_up().await;
        let answer = tree.stages[0].1.ask(Do(|_| panic!("while it is asked"))).await;
        assert!(answer.is_err());
        tree.reaches(0, 2).await;
        tree.stages[0].1.up().await;
        assert_eq!(tree.ask(0).await.unwrap(), 1);
    });
}

#[test]
fn who_asked_a_stage_that_hangs_gets_an_error_when_it_is_given_up() {
    let tree = Tree::new();
    tree.run(5, Duration::from_millis(200), async |tree| {
        tree.all_up().await;
        tree.stages[0].1.tell(Do(|_| std::thread::sleep(Duration::from_secs(5))));
        // The thread takes the fault first: what is asked now lies in the mailbox of an incarnation that
        // never answers.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = tokio::time::timeout(Duration::from_secs(3), tree.ask(0)).await;
        assert!(matches!(answer, Ok(Err(StageGone(_)))), "{answer:?}");
        tree.reaches(0, 2).await;
        assert_eq!(tree.ask(0).await.unwrap(), 1);
    });
}
