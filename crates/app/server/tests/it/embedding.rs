//! The example of embedding works.

#[allow(dead_code, reason = "its main function is for those who run it")]
#[path = "../../examples/embed.rs"]
mod embed;

#[tokio::test]
async fn the_example_runs() {
    let lines = embed::run().await.expect("the example");
    assert_eq!(lines, ["ping from the program", "pong from the network"]);
}
