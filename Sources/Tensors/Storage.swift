import Synchronization

/// Bytes that tensors look at: owned and given back to the device's pool when released, or mapped from a file.
///
/// `@unchecked Sendable`: the bytes are written only by the operation that made the tensor, before it is shared, or
/// by `Tensor.replaceRows`, which holds the only reference.
final class Storage: @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    let byteCount: Int
    let device: Device
    private let owner: (any AnyObject & Sendable)?  // keeps mapped bytes alive; nil: the bytes come from the pool

    /// Bytes of `device`'s pool, with arbitrary content.
    init(byteCount: Int, on device: Device) {
        start = device.buffers.take(byteCount)
        self.byteCount = byteCount
        self.device = device
        owner = nil
    }

    /// Bytes that belong to `owner`, never written.
    init(mapped bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable, on device: Device) {
        start = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
        byteCount = bytes.count
        self.device = device
        self.owner = owner
    }

    var isMapped: Bool { owner != nil }

    deinit {
        if owner == nil { device.buffers.giveBack(start, byteCount: byteCount) }
    }
}

/// Released buffers, kept for the next tensor of about their size: a warm forward pass allocates nothing.
///
/// `@unchecked Sendable`: the free lists are reached under `lock` only.
final class BufferPool: @unchecked Sendable {
    static let alignment = 64
    private let lock = Mutex(())
    private var free: [Int: [UnsafeMutableRawPointer]] = [:]
    private var made = 0

    /// Buffers allocated so far, those in use included. A warm decoding step leaves it unchanged.
    var buffersMade: Int { lock.withLock { _ in made } }

    /// Sizes are rounded up to four steps per power of two, so that few classes serve all shapes.
    static func sizeClass(_ byteCount: Int) -> Int {
        guard byteCount > 256 else { return 256 }
        let step = 1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount - 2)
        return (byteCount + step - 1) / step * step
    }

    func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let size = Self.sizeClass(byteCount)
        return lock.withLock { _ in
            if let buffer = free[size]?.popLast() { return buffer }
            made += 1
            return .allocate(byteCount: size, alignment: Self.alignment)
        }
    }

    func giveBack(_ buffer: UnsafeMutableRawPointer, byteCount: Int) {
        lock.withLock { _ in free[Self.sizeClass(byteCount), default: []].append(buffer) }
    }

    deinit {
        for buffer in free.values.joined() { buffer.deallocate() }
    }
}
