//! Two loops, a thread each: work is sent to a loop, and one loop awaits what another does.

use std::io;
use std::rc::Rc;

use wheelhouse::time::Duration;
use wheelhouse::{Handle, LoopGroup, yield_now};

fn main() -> io::Result<()> {
    let group = LoopGroup::new(2)?;
    let other = group.handle(1);

    // The closure is sent, the future is made there. So it need not be `Send`.
    let question = group.handle(0).spawn(move || async move {
        println!("{} asks", Handle::current().name());
        let answer = other.spawn(|| async {
            let half = Rc::new(21);
            yield_now().await;
            println!("{} answers", Handle::current().name());
            *half * 2
        });
        answer.await.unwrap()
    });

    // This thread has no loop: it waits.
    println!("it is {}", question.wait().unwrap());
    for report in group.shutdown(Duration::from_secs(1)) {
        println!("clean: {}", report.is_clean());
    }
    Ok(())
}
