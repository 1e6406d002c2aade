import Dispatch

/// Runs an actor's work on a queue of its own, so that a forward pass never occupies a thread of Swift's pool.
final class ForwardExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "gemma4.conversation")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
