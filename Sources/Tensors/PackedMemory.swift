import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Allocates the memory of packed weights contiguously, in huge pages where the system has them: every token reads
/// gigabytes of weights, which would miss the TLB every 4 KB, and many weights are smaller than a huge page.
final class PackedMemory: Sendable {
    /// Pages become resident when they are first written.
    private static let slabByteCount = 256 << 20
    private static let hugePage = 2 << 20

    /// The bytes of one weight; the slab lives as long as any of its weights.
    struct Bytes {
        let start: UnsafeMutableRawPointer
        let byteCount: Int
        let owner: Slab

        var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: byteCount) }
    }

    /// `@unchecked Sendable`: each weight's bytes are written by its initializer only, before they are shared.
    final class Slab: @unchecked Sendable {
        fileprivate let start: UnsafeMutableRawPointer
        fileprivate let byteCount: Int

        fileprivate init(byteCount: Int) {
            self.byteCount = byteCount
            start = .allocate(byteCount: byteCount, alignment: hugePage)
            #if os(Linux)
                madvise(start, byteCount, Int32(MADV_HUGEPAGE))
            #endif
        }

        deinit { start.deallocate() }
    }

    private let current = Mutex<(slab: Slab, used: Int)?>(nil)

    func take(_ byteCount: Int) -> Bytes {
        current.withLock { current in
            if current.map({ $0.used + byteCount > $0.slab.byteCount }) ?? true {
                let pages = (byteCount + Self.hugePage - 1) / Self.hugePage
                current = (Slab(byteCount: max(Self.slabByteCount, pages * Self.hugePage)), 0)
            }
            let (slab, used) = current!
            current!.used += (byteCount + BufferPool.alignment - 1) / BufferPool.alignment * BufferPool.alignment
            return Bytes(start: slab.start + used, byteCount: byteCount, owner: slab)
        }
    }
}
