import Foundation
import Synchronization

/// Mapped bytes of a file that can also be read with `pread`. A page fault on a mapped byte can make megabytes
/// resident: too much for a few scattered rows.
package protocol FileBytes: AnyObject, Sendable {
    /// Copies mapped bytes without a page fault on the mapping.
    ///
    /// - Returns: false if the range is not within this file, or cannot be read.
    func read(_ range: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer) -> Bool
}

/// The bytes behind tensors: owned and returned to the device's pool on release, or mapped from a file.
///
/// `@unchecked Sendable`: the bytes are written only by the operation that creates the tensor, before it is shared,
/// or by `Tensor.replaceRows` and `addRows`, which hold the only reference.
final class Storage: @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    let byteCount: Int
    let device: Device
    private let owner: (any AnyObject & Sendable)?  // keeps mapped bytes alive; nil: the bytes come from the pool
    let file: (any FileBytes)?  // the owner, if it is a file

    /// Allocates bytes of arbitrary content from `device`'s pool.
    init(byteCount: Int, on device: Device) {
        start = device.buffers.take(byteCount)
        self.byteCount = byteCount
        self.device = device
        (owner, file) = (nil, nil)
    }

    /// Read-only bytes that belong to `owner`.
    init(mapped bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable, on device: Device) {
        start = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
        byteCount = bytes.count
        self.device = device
        self.owner = owner
        file = owner as? any FileBytes
    }

    var isMapped: Bool { owner != nil }

    deinit {
        if owner == nil { device.buffers.giveBack(start, byteCount: byteCount) }
    }
}

/// Released buffers, reused for the next tensor of a similar size: a warm forward pass allocates nothing.
///
/// The bytes of idle buffers are bounded: beyond `idleLimit` the buffers idle longest are freed, large ones first,
/// because those serve long prompts and images, and the small ones decode.
final class BufferPool: Sendable {
    static let alignment = 64
    static let idleLimit = 512 << 20
    /// Buffers of at least this many bytes are freed first.
    private static let large = 1 << 20

    private struct Buffer: @unchecked Sendable {  // idle memory without other references
        let start: UnsafeMutableRawPointer
        var idleSince = 0  // a count of returned buffers
    }

    private struct State {
        var idle: [Int: [Buffer]] = [:]  // by size class, longest idle first
        var idleBytes = 0
        var made = 0
        var returned = 0

        /// Frees the large buffer that has been idle longest; without large buffers, the small one.
        mutating func freeOldest() {
            let classes = idle.filter { !$0.value.isEmpty }
            let large = classes.filter { $0.key >= BufferPool.large }
            let (size, buffers) = (large.isEmpty ? classes : large).min {
                $0.value[0].idleSince < $1.value[0].idleSince
            }!
            buffers[0].start.deallocate()
            idle[size]!.removeFirst()
            idleBytes -= size
        }
    }

    private let state = Mutex(State())

    /// Buffers allocated so far, including those in use. A warm decode step leaves it unchanged.
    var buffersMade: Int { state.withLock { $0.made } }
    var idleBytes: Int { state.withLock { $0.idleBytes } }

    /// Sizes are rounded up to four steps per power of two, so that few classes serve all shapes.
    static func sizeClass(_ byteCount: Int) -> Int {
        guard byteCount > 256 else { return 256 }
        let step = 1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount - 2)
        return (byteCount + step - 1) / step * step
    }

    func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let size = Self.sizeClass(byteCount)
        let buffer = state.withLock { state -> Buffer in
            if let buffer = state.idle[size]?.popLast() {
                state.idleBytes -= size
                return buffer
            }
            state.made += 1
            return Self.allocate(size)
        }
        return buffer.start
    }

    /// Large buffers use huge pages: a tower's activations are tens of megabytes, accessed with the stride of a row.
    private static func allocate(_ byteCount: Int) -> Buffer {
        let huge = 2 << 20
        guard byteCount >= 2 * huge else { return Buffer(start: .allocate(byteCount: byteCount, alignment: alignment)) }
        let start = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: huge)
        #if os(Linux)
            madvise(start, byteCount, Int32(MADV_HUGEPAGE))
        #endif
        return Buffer(start: start)
    }

    func giveBack(_ start: UnsafeMutableRawPointer, byteCount: Int) {
        let size = Self.sizeClass(byteCount)
        state.withLock { state in
            state.returned += 1
            state.idle[size, default: []].append(Buffer(start: start, idleSince: state.returned))
            state.idleBytes += size
            while state.idleBytes > Self.idleLimit { state.freeOldest() }
        }
    }

    /// Allocates until at least `count` buffers of `byteCount` bytes are idle.
    func prepare(_ count: Int, of byteCount: Int) {
        let size = Self.sizeClass(byteCount)
        state.withLock { state in
            while state.idle[size, default: []].count < count {
                state.idle[size, default: []].append(Self.allocate(size))
                state.idleBytes += size
                state.made += 1
            }
        }
    }

    deinit {
        state.withLock { state in
            for buffer in state.idle.values.joined() { buffer.start.deallocate() }
        }
    }
}
