/// The CPU: its threads, its kernels and its pool of buffers. Every tensor belongs to one device.
package final class Device: Sendable {
    /// Threads that share one operation.
    package let threads: ThreadPool
    package let kernels: KernelSet
    let buffers = BufferPool()
    let packedMemory = PackedMemory()

    /// - Parameters:
    ///   - threadCount: threads that share one operation; by default the CPU count of `ProcessorLimit`.
    ///   - kernels: the instruction set; by default the fastest that this CPU supports.
    package init(threadCount: Int? = nil, kernels: KernelSet = .best) {
        threads = ThreadPool(count: threadCount ?? ProcessorLimit.current.count)
        self.kernels = kernels
    }

    /// Calls `body` with a buffer of `count` floats of arbitrary content, valid during the call.
    func withScratch(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        let buffer = buffers.take(count * 4)
        body(buffer.assumingMemoryBound(to: Float.self))
        buffers.giveBack(buffer, byteCount: count * 4)
    }

    /// Calls `body` with each index below `count`, on all threads, each with a buffer of `scratch` floats.
    func parallelFor(_ count: Int, scratch: Int, _ body: (Int, UnsafeMutablePointer<Float>) -> Void) {
        // Whichever threads join, each finds an idle buffer: a warm operation allocates nothing.
        buffers.prepare(min(count, threads.count), of: scratch * 4)
        threads.parallelFor(count) { range in
            withScratch(scratch) { body(range.lowerBound, $0) }
        }
    }

    /// Buffers allocated so far; a warm decode step leaves it unchanged.
    package var buffersMade: Int { buffers.buffersMade }
}
