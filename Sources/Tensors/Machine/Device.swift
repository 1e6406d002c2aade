/// The CPU as tensors see it: its threads, its kernels and its pool of buffers. Every tensor belongs to one.
package final class Device: Sendable {
    /// Threads that share one operation.
    package let threads: ThreadPool
    package let kernels: KernelSet
    let buffers = BufferPool()
    let packedMemory = PackedMemory()

    /// - Parameters:
    ///   - threadCount: threads that share one operation; by default as many as `ProcessorLimit` finds CPUs.
    ///   - kernels: the SIMD set; by default the fastest that this CPU runs.
    package init(threadCount: Int? = nil, kernels: KernelSet = .best) {
        threads = ThreadPool(count: threadCount ?? ProcessorLimit.current.count)
        self.kernels = kernels
    }

    /// Calls `body` with room for `count` floats of arbitrary content, which is gone afterwards.
    func withScratch(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        let buffer = buffers.take(count * 4)
        body(buffer.assumingMemoryBound(to: Float.self))
        buffers.giveBack(buffer, byteCount: count * 4)
    }

    /// Calls `body` with each index below `count`, from all threads, and with room for `scratch` floats.
    func parallelFor(_ count: Int, scratch: Int, _ body: (Int, UnsafeMutablePointer<Float>) -> Void) {
        // Whichever threads come this time, each finds a buffer: what is warm stays so.
        buffers.prepare(min(count, threads.count), of: scratch * 4)
        threads.parallelFor(count) { range in
            withScratch(scratch) { body(range.lowerBound, $0) }
        }
    }

    /// Buffers allocated so far: unchanged by a warm decoding step.
    package var buffersMade: Int { buffers.buffersMade }
}
