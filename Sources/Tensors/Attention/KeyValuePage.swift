/// The steps of keys and values that are stored as integers of 8 bits.
package struct KeyValueSteps: Sendable, Hashable {
    package let keys, values: Float

    package init(keys: Float, values: Float) { (self.keys, self.values) = (keys, values) }
}

/// Keys and values of consecutive positions of one layer, `length` of them: the only place that knows how cached keys
/// are laid out in memory.
///
/// f16 keys are interleaved in groups of 16 positions, and quantized keys and values are stored in blocks of 16 positions, so
/// that attention reads them in place; other keys and values are rows. A value: pages that two caches share are
/// copied when one of them writes.
package struct KeyValuePage: Sendable {
    /// Positions of a page, a multiple of 16.
    package let length: Int
    /// Keys and values, or their blocks.
    private var tensors: [Tensor]
    private let blocks: KeyValueBlocks?
    private let steps: KeyValueSteps?

    /// A page of zeros.
    ///
    /// - Parameters:
    ///   - length: positions; a multiple of 16.
    ///   - heads: key-value heads.
    ///   - size: elements of one head.
    ///   - type: f32 if it does not fit heads of this size.
    ///   - steps: of integers of 8 bits.
    package init(
        length: Int, heads: Int, size: Int, _ type: KeyValueType, steps: KeyValueSteps? = nil, on device: Device
    ) {
        let (type, together) = (type.fitting(size: size), KeyValueSegment.keysTogether)
        precondition(type != .int8 || steps != nil, "KeyValuePage: int8 without steps")
        precondition(length.isMultiple(of: together), "KeyValuePage: \(length) positions, expected a multiple of 16")
        self.length = length
        self.steps = type == .int8 ? steps : nil
        blocks = KeyValueBlocks(type, heads: heads, size: size)
        if let blocks {
            tensors = [blocks.makeTensor(blocks: length / together, on: device)]
            return
        }
        let rows = Tensor(zeros: [length, heads, size], type.elementType, on: device)
        tensors = [
            type == .float16
                ? .interleavedKeys(blocks: length / together, heads: heads, size: size, on: device)
                : Tensor(zeros: rows.shape, type.elementType, on: device), rows,
        ]
    }

    /// Bytes of keys and values.
    package var byteCount: Int { tensors.reduce(0) { $0 + Self.byteCount($1) } }

    private static func byteCount(_ tensor: Tensor) -> Int { tensor.elementType.byteCount(tensor.shape.count) }

    /// Equal for pages that share their bytes.
    package var identity: ObjectIdentifier { ObjectIdentifier(tensors.last!.storage) }

    private var isInterleaved: Bool { tensors[0].shape.rank == 4 }

    /// Writes keys and values, f32 `[positions, heads, size]` each, rounded to the type of the page, from place `first` on.
    package mutating func write(_ newKeys: Tensor, _ newValues: Tensor, at first: Int) {
        if let blocks { return blocks.write(newKeys, newValues, into: &tensors[0], at: first) }
        if let steps {
            tensors[0].replaceRows(from: first, with: newKeys, inStepsOf: steps.keys)
            tensors[1].replaceRows(from: first, with: newValues, inStepsOf: steps.values)
            return
        }
        if isInterleaved {
            tensors[0].interleaveKeys(from: first, newKeys)
        } else {
            tensors[0].replaceRows(from: first, with: newKeys)
        }
        tensors[1].replaceRows(from: first, with: newValues)
    }

    /// The first `count` places as attention reads them.
    ///
    /// - Parameter firstPosition: the position in place 0; a multiple of 16.
    package func segment(firstPosition: Int, count: Int) -> KeyValueSegment {
        let positions = firstPosition..<firstPosition + count
        if let blocks { return KeyValueSegment(positions: positions, blocks: tensors[0], blocks) }
        guard isInterleaved else {
            return KeyValueSegment(
                firstPosition: firstPosition, keys: tensors[0][0..<count], values: tensors[1][0..<count], steps: steps)
        }
        return KeyValueSegment(positions: positions, interleavedKeys: tensors[0], values: tensors[1])
    }

    // MARK: Bytes

    /// Calls `body` with the bytes of the keys, then with those of the values; once, with both, if they are quantized.
    package func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        for tensor in tensors {
            try body(UnsafeRawBufferPointer(start: tensor.bytes, count: Self.byteCount(tensor)))
        }
    }

    /// Replaces keys and values by what `withBytes` handed out.
    ///
    /// - Precondition: `bytes` has `byteCount` bytes.
    package mutating func replaceBytes(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == byteCount, "KeyValuePage: \(bytes.count) bytes for a page of \(byteCount)")
        var source = bytes.baseAddress!
        for index in tensors.indices {
            tensors[index].makeUnique()
            let count = Self.byteCount(tensors[index])
            UnsafeMutableRawPointer(mutating: tensors[index].bytes).copyMemory(from: source, byteCount: count)
            source += count
        }
    }
}
