import CKernels

/// Keys and values of consecutive positions, for one or more key-value heads.
///
/// Either as rows, `[positions, keyValueHeads, headDimension]` each, of any element type; or with keys of f16
/// interleaved, which attention of few queries reads where they lie: `[blocks, keyValueHeads, headDimension, 16]`, where
/// position p has place p mod 16 of its block, and values of f16 as rows, 16 for each block; or in quantized blocks, which
/// attention always reads in place.
package struct KeyValueSegment: Sendable {
    /// Positions whose keys lie next to each other.
    package static let keysTogether = Int(KEYS_TOGETHER)

    /// What of it counts. The first and the last block may hold other positions' keys beside.
    let positions: Range<Int>
    /// Both are the same tensor where `blocks` says how it holds them.
    let keys, values: Tensor
    let blocks: KeyValueBlocks?
    /// Of integers; nil for numbers.
    let steps: KeyValueSteps?

    var isInterleaved: Bool { keys.shape.rank == 4 }
    /// The position of the first row of values, or of the first block.
    var start: Int { isInterleaved || blocks != nil ? Self.start(positions) : positions.lowerBound }

    /// - Parameter firstPosition: of the rows of `keys` and `values`.
    package init(firstPosition: Int, keys: Tensor, values: Tensor) {
        self.init(firstPosition: firstPosition, keys: keys, values: values, steps: nil)
    }

    init(firstPosition: Int, keys: Tensor, values: Tensor, steps: KeyValueSteps?) {
        precondition(
            keys.shape == values.shape && keys.shape.rank == 3 && keys.elementType == values.elementType,
            "KeyValueSegment: keys \(keys.shape) of \(keys.elementType), values \(values.shape) of \(values.elementType)"
        )
        positions = firstPosition..<firstPosition + keys.shape[0]
        (self.keys, self.values, blocks, self.steps) = (keys, values, nil, steps)
    }

    /// Blocks of 16 positions, of which the first has `positions.lowerBound`. Segments meet only between blocks.
    package init(positions: Range<Int>, interleavedKeys keys: Tensor, values: Tensor) {
        let (heads, size, slots) = (keys.shape[1], keys.shape[2], keys.shape[0] * Self.keysTogether)
        precondition(
            keys.shape == [keys.shape[0], heads, size, Self.keysTogether] && values.shape == [slots, heads, size]
                && keys.elementType == .float16 && values.elementType == .float16
                && positions.upperBound <= Self.start(positions) + slots,
            "KeyValueSegment: positions \(positions), keys \(keys.shape), values \(values.shape)")
        (self.positions, self.keys, self.values, blocks, steps) = (positions, keys, values, nil, nil)
    }

    /// Quantized blocks, the first of which contains `positions.lowerBound`.
    init(positions: Range<Int>, blocks tensor: Tensor, _ blocks: KeyValueBlocks) {
        precondition(
            positions.upperBound <= Self.start(positions) + tensor.shape[0] * Self.keysTogether,
            "KeyValueSegment: positions \(positions), blocks \(tensor.shape)")
        (self.positions, keys, values, self.blocks, steps) = (positions, tensor, tensor, blocks, nil)
    }

    /// Where the block of the first of `positions` begins.
    private static func start(_ positions: Range<Int>) -> Int { positions.lowerBound / keysTogether * keysTogether }

    /// Positions that it holds.
    package var count: Int { positions.count }

    /// Key-value heads, and the elements of one.
    var heads: Int { blocks?.heads ?? values.shape[1] }
    var size: Int { blocks?.size ?? values.shape[2] }

    /// One head's quantized keys and values of the block that begins at `position`.
    func fewBits(at position: Int, head: Int) -> UnsafePointer<UInt8> {
        blocks!.block((position - start) / Self.keysTogether, head: head, of: keys)
    }

    /// One head's interleaved keys of the block that begins at `position`, `[headDimension, 16]`, and its values.
    func block(at position: Int, head: Int) -> (keys: UnsafePointer<UInt16>, values: UnsafePointer<UInt16>) {
        let (heads, size) = (values.shape[1], values.shape[2])
        let blocks = (position - start) / Self.keysTogether
        return (
            keys.bytes.assumingMemoryBound(to: UInt16.self) + (blocks * heads + head) * size * Self.keysTogether,
            values.bytes.assumingMemoryBound(to: UInt16.self) + (blocks * Self.keysTogether * heads + head) * size
        )
    }
}

extension Tensor {
    /// Room for interleaved keys of so many blocks of 16 positions, `[blocks, keyValueHeads, headDimension, 16]`.
    package static func interleavedKeys(blocks: Int, heads: Int, size: Int, on device: Device) -> Tensor {
        Tensor(zeros: [blocks, heads, size, KeyValueSegment.keysTogether], .float16, on: device)
    }

    /// Writes keys, f32 `[positions, keyValueHeads, headDimension]`, rounded to f16, into an interleaved tensor; the first takes
    /// place `first`. In place unless the bytes are shared.
    package mutating func interleaveKeys(from first: Int, _ keys: Tensor) {
        let together = KeyValueSegment.keysTogether
        let (count, width) = (keys.shape[0], keys.shape[1] * keys.shape[2])
        precondition(
            elementType == .float16 && shape == [shape[0], keys.shape[1], keys.shape[2], together] && first >= 0
                && first + count <= shape[0] * together,
            "interleaveKeys: \(keys.shape) at \(first) of \(shape)")
        makeUnique()
        let out = UnsafeMutableRawPointer(mutating: bytes).assumingMemoryBound(to: UInt16.self)
        let values = keys.floats
        device.withScratch((width + 1) / 2) { scratch in
            scratch.withMemoryRebound(to: UInt16.self, capacity: width) { rounded in
                for index in 0..<count {
                    let (block, place) = ((first + index) / together, (first + index) % together)
                    device.kernels.table.narrow_f16(rounded, values + index * width, width)
                    let target = out + block * width * together + place
                    for element in 0..<width { target[element * together] = rounded[element] }
                }
            }
        }
    }
}
