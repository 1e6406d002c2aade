#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Memory of a packed weight, in huge pages where the system has them: reading gigabytes for every token would
/// otherwise look up a page every 4 KB.
///
/// `@unchecked Sendable`: written by the initialiser of `Weight` only, before anyone else sees it.
final class PackedMemory: @unchecked Sendable {
    private static let hugePage = 2 << 20

    let start: UnsafeMutableRawPointer
    private let byteCount: Int

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: byteCount) }

    init(byteCount: Int) {
        self.byteCount = byteCount
        let isLarge = byteCount >= Self.hugePage
        start = .allocate(byteCount: byteCount, alignment: isLarge ? Self.hugePage : BufferPool.alignment)
        #if os(Linux)
            // The tail, smaller than a huge page, stays in small ones.
            if isLarge { madvise(start, byteCount / Self.hugePage * Self.hugePage, Int32(MADV_HUGEPAGE)) }
        #endif
    }

    deinit { start.deallocate() }
}
