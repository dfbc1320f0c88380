//! Tour 14: a group of tasks. It is left when all of them have ended. When one fails the others
//! are cancelled, and the failure comes out.

use wheelhouse::task::JoinError;
use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, TaskGroup};

const SECOND: Duration = Duration::from_secs(1);

struct CleanUp(u32);

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("child {}: cleans up", self.0);
    }
}

async fn child(number: u32) -> Result<u32, String> {
    let _clean_up = CleanUp(number);
    sleep(number * SECOND).await;
    if number == 4 {
        return Err("four brings bad luck".into());
    }
    println!("child {number}: is done");
    Ok(number)
}

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        let start = Instant::now();
        let sum = TaskGroup::run(async |group| {
            let [one, two] = [1, 2].map(|number| group.spawn(child(number)));
            Ok::<_, JoinError>(one.await? + two.await?)
        });
        println!("the sum is {} after {} s", sum.await.unwrap(), start.elapsed().as_secs());

        let failed = TaskGroup::run(async |group| {
            for number in 3..=5 {
                group.spawn(child(number));
            }
        });
        println!("{} after {} s", failed.await.unwrap_err(), start.elapsed().as_secs());
    });
}
