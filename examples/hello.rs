//! The smallest program: a loop, and a task on it whose output is awaited.

fn main() {
    wheelhouse::run(async {
        let task = wheelhouse::spawn(async {
            println!("hello from the task");
            6 * 7
        });
        // A task first runs when whoever spawned it waits.
        println!("hello from the root");
        println!("the task gave {}", task.await.unwrap());
    });
}
