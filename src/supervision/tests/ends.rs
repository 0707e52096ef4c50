//! Every kind of end that a stage can come to, whichever handler or future it comes from.

use futures_util::stream;

use super::*;

/// Has the actor do something with its context.
#[derive(Message)]
#[rtype(result = "()")]
struct With(fn(&mut Context<Probe>));

impl Handler<With> for Probe {
    type Result = ();

    fn handle(&mut self, With(what): With, context: &mut Self::Context) {
        what(context);
    }
}

/// Is answered by a future beside others.
#[derive(Message)]
#[rtype(result = "()")]
struct Beside;

impl Handler<Beside> for Probe {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Beside, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("in an answer") }.into_actor(self))
    }
}

/// Is answered by a future before which nothing else is handled.
#[derive(Message)]
#[rtype(result = "()")]
struct InTurn;

impl Handler<InTurn> for Probe {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: InTurn, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(async { panic!("in an answer in turn") }.into_actor(self)))
    }
}

/// Comes from a stream.
struct Item;

impl StreamHandler<Item> for Probe {
    fn handle(&mut self, _: Item, _: &mut Self::Context) {
        panic!("at an item of a stream");
    }
}

async fn panicking() {
    panic!("in a future");
}

/// Brings an actor to its end.
type End = fn(&mut Context<Probe>);

/// Each end, and what is said of it.
const ENDS: [(&str, End); 9] = [
    ("in a handler", |_| panic!("in a handler")),
    ("in a future", |context| {
        context.spawn(fut::wrap_future(panicking()));
    }),
    ("in a future", |context| context.wait(fut::wrap_future(panicking()))),
    ("at a timer", |context| {
        context.run_later(Duration::from_millis(1), |_, _| panic!("at a timer"));
    }),
    ("at an item of a stream", |context| {
        context.add_stream(stream::once(std::future::ready(Item)));
    }),
    ("ended though nobody asked", |context| {
        // A stream that ends.
        context.add_stream(stream::empty::<Item>());
    }),
    ("ended though nobody asked", |context| context.stop()),
    ("ended though nobody asked", |context| context.terminate()),
    ("in an answer in turn", |context| context.notify(InTurn)),
];

#[test]
fn a_stage_is_built_anew_whatever_ends_it_and_its_neighbours_live_on() {
    let tree = Tree::new();
    let code = tree.run(u32::try_from(ENDS.len()).unwrap() + 2, NEVER, async |tree| {
        tree.all_up().await;
        let mut generation = 1;
        for (said, end) in ENDS {
            // The stage may die of it before it answers.
            let _ = tree.stages[1].1.ask(With(end)).await;
            generation += 1;
            tree.reaches(1, generation).await;
            let error = tree.board.stages()[1].last_error.clone().unwrap();
            assert!(error.contains(said), "{error}, not {said}");
        }
        let _ = tree.stages[1].1.ask(Beside).await;
        tree.reaches(1, generation + 1).await;
        assert_eq!(tree.ask(1).await.unwrap(), 1);
        assert_eq!(tree.generations(), [1, generation + 1, 1]);
    });
    assert_eq!(code, 0);
}
