/// The steps of keys and values that are stored as integers of 8 bits.
package struct KeyValueSteps: Sendable, Hashable {
    package let keys, values: Float

    package init(keys: Float, values: Float) { (self.keys, self.values) = (keys, values) }
}

/// Keys and values of consecutive positions of one layer, `length` of them: the only place that knows how cached keys
/// are laid out in memory.
///
/// Keys of f16 are interleaved in groups of 16 positions, so that decoding attends to them in place; keys of other types,
/// and all values, are rows. A value: pages that two caches share are copied when one of them writes.
package struct KeyValuePage: Sendable {
    /// Positions of a page, a multiple of the 16 positions that are interleaved.
    package let length: Int
    private var keys, values: Tensor
    private let steps: KeyValueSteps?

    /// A page of zeros.
    ///
    /// - Parameters:
    ///   - length: positions; a multiple of 16.
    ///   - heads: key-value heads.
    ///   - size: elements of one head.
    ///   - steps: of integers of 8 bits; no other type has some.
    package init(
        length: Int, heads: Int, size: Int, _ type: ElementType, steps: KeyValueSteps? = nil, on device: Device
    ) {
        precondition(type.isInteger == (steps != nil), "KeyValuePage: \(type) with steps \(String(describing: steps))")
        let together = KeyValueSegment.keysTogether
        precondition(length.isMultiple(of: together), "KeyValuePage: \(length) positions, expected a multiple of 16")
        self.length = length
        self.steps = steps
        values = Tensor(zeros: [length, heads, size], type, on: device)
        keys =
            type == .float16
            ? .interleavedKeys(blocks: length / together, heads: heads, size: size, on: device)
            : Tensor(zeros: [length, heads, size], type, on: device)
    }

    /// Bytes that a page of so many positions takes.
    package static func byteCount(length: Int, heads: Int, size: Int, _ type: ElementType) -> Int {
        2 * type.byteCount(length * heads * size)
    }

    /// Bytes of keys and values.
    package var byteCount: Int { 2 * values.elementType.byteCount(values.shape.count) }

    /// Equal for pages that share their bytes.
    package var identity: ObjectIdentifier { ObjectIdentifier(values.storage) }

    private var isInterleaved: Bool { keys.shape.rank == 4 }

    /// Writes keys and values, f32 `[positions, heads, size]` each, rounded to the type of the page, from place `first` on.
    package mutating func write(_ newKeys: Tensor, _ newValues: Tensor, at first: Int) {
        if let steps {
            keys.replaceRows(from: first, with: newKeys, inStepsOf: steps.keys)
            values.replaceRows(from: first, with: newValues, inStepsOf: steps.values)
            return
        }
        if isInterleaved {
            keys.interleaveKeys(from: first, newKeys)
        } else {
            keys.replaceRows(from: first, with: newKeys)
        }
        values.replaceRows(from: first, with: newValues)
    }

    /// The first `count` places as attention reads them.
    ///
    /// - Parameter firstPosition: the position in place 0; a multiple of 16.
    package func segment(firstPosition: Int, count: Int) -> KeyValueSegment {
        guard isInterleaved else {
            return KeyValueSegment(
                firstPosition: firstPosition, keys: keys[0..<count], values: values[0..<count], steps: steps)
        }
        return KeyValueSegment(
            positions: firstPosition..<firstPosition + count, interleavedKeys: keys, values: values)
    }

    // MARK: Bytes

    /// Calls `body` with the bytes of the keys, then with those of the values.
    package func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        for tensor in [keys, values] {
            try body(UnsafeRawBufferPointer(start: tensor.bytes, count: byteCount / 2))
        }
    }

    /// Replaces keys and values by what `withBytes` handed out.
    ///
    /// - Precondition: `bytes` has `byteCount` bytes.
    package mutating func replaceBytes(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == byteCount, "KeyValuePage: \(bytes.count) bytes for a page of \(byteCount)")
        let half = byteCount / 2
        keys.makeUnique()
        values.makeUnique()
        UnsafeMutableRawPointer(mutating: keys.bytes).copyMemory(from: bytes.baseAddress!, byteCount: half)
        UnsafeMutableRawPointer(mutating: values.bytes).copyMemory(from: bytes.baseAddress! + half, byteCount: half)
    }
}
