import CKernels

/// The layout of quantized keys and values in a tensor of bytes: `[blocks, heads, blockByteCount]`, 16 positions a block.
struct KeyValueBlocks: Sendable, Hashable {
    let heads, size: Int
    private let isRotated: Bool

    /// Nil of types that are stored as rows.
    ///
    /// - Precondition: `type` fits heads of this size.
    init?(_ type: KeyValueType, heads: Int, size: Int) {
        guard type == .q8_0 || type == .rotated else { return nil }
        (self.heads, self.size, isRotated) = (heads, size, type == .rotated)
    }

    var type: cache_type { isRotated ? CACHE_rotated : CACHE_q8_0 }
    var blockByteCount: Int { cache_block_bytes(size, type) }
    /// The rotation of queries, keys and values: it leaves scores unchanged, and outputs are rotated back.
    var rotation: RandomRotation? { isRotated ? RandomRotation(size: size) : nil }

    func makeTensor(blocks: Int, on device: Device) -> Tensor {
        Tensor(zeros: [blocks, heads, blockByteCount], .int8, on: device)
    }

    /// Writes keys and values, f32 `[positions, heads, size]`, from place `first` on; in place unless the bytes are shared.
    func write(_ keys: Tensor, _ values: Tensor, into blocks: inout Tensor, at first: Int) {
        precondition(
            keys.shape == [keys.shape[0], heads, size] && values.shape == keys.shape && first >= 0
                && first + keys.shape[0] <= blocks.shape[0] * keysTogether,
            "KeyValueBlocks: \(keys.shape) at \(first) of \(blocks.shape)")
        blocks.makeUnique()
        let places = first..<first + keys.shape[0]
        let out = UnsafeMutableRawPointer(mutating: blocks.bytes).assumingMemoryBound(to: UInt8.self)
        let (kernels, blockCount) = (keys.device.kernels.table, (places.upperBound - 1) / keysTogether + 1)
        let parts = [(CACHE_keys, keys.floats), (CACHE_values, values.floats)]
        let firstBlock = first / keysTogether
        keys.device.threads.parallelFor((blockCount - firstBlock) * heads, grain: 4) { range in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { row in
                let row = row.baseAddress!
                for index in range {
                    let (block, head) = (firstBlock + index / heads, index % heads)
                    let target = out + (block * heads + head) * blockByteCount
                    for place in (block * keysTogether..<(block + 1) * keysTogether).clamped(to: places) {
                        for (part, rows) in parts {
                            row.update(from: rows + ((place - first) * heads + head) * size, count: size)
                            rotation?.apply(to: row, kernels)
                            cache_write(target, place % keysTogether, row, size, part, type)
                        }
                    }
                }
            }
        }
    }

    /// One head's keys and values of a block.
    func block(_ block: Int, head: Int, of blocks: Tensor) -> UnsafePointer<UInt8> {
        blocks.bytes.assumingMemoryBound(to: UInt8.self) + (block * heads + head) * blockByteCount
    }
}

/// Quantized queries, after the rotation of the keys: the operand of kernels that read blocks.
struct IntegerQueries {
    private let values: UnsafeMutableRawPointer
    private let scales: UnsafeMutablePointer<Float>
    private let sums: UnsafeMutablePointer<Int32>
    private let size: Int
    private let type: cache_type

    /// 16 bits for q8_0, 8 for rotated.
    private var rowByteCount: Int { type == CACHE_q8_0 ? 2 * size : size }

    /// Elements that `scratch` must have room for.
    static func scratchCount(rows: Int, size: Int) -> Int { rows * (size + 1) / 2 + 2 * rows }

    init(rows: Int, size: Int, _ type: cache_type, scratch: UnsafeMutablePointer<Float>) {
        (self.size, self.type) = (size, type)
        let raw = UnsafeMutableRawPointer(scratch)
        scales = scratch
        sums = (raw + rows * 4).bindMemory(to: Int32.self, capacity: rows)
        values = raw + rows * 8
    }

    /// - Parameter query: `[size]`; becomes what the rotation makes of it.
    func set(_ row: Int, _ query: UnsafeMutablePointer<Float>, _ rotation: RandomRotation?, _ kernels: kernel_set) {
        rotation?.apply(to: query, kernels)
        quantize_query(values + row * rowByteCount, scales + row, sums + row, query, size, type)
    }

    func rows(from row: Int) -> integer_queries {
        integer_queries(values: values + row * rowByteCount, scales: scales + row, sums: sums + row)
    }

    /// Rows of a rotated cache as panels, and their scales, with zeros for the rows that the last panel lacks.
    ///
    /// - Parameters:
    ///   - panels: room for `[panels, size / 4, panelRows]`.
    ///   - panelScales: room for `[panels, panelRows]`.
    func interleave(
        _ rows: Range<Int>, into panels: UnsafeMutablePointer<Int32>, _ panelScales: UnsafeMutablePointer<Float>
    ) {
        let first = values + rows.lowerBound * rowByteCount
        interleave_queries(panels, first.assumingMemoryBound(to: Int8.self), rows.count, size)
        panelScales.update(repeating: 0, count: (rows.count + Int(PANEL_ROWS) - 1) / Int(PANEL_ROWS) * Int(PANEL_ROWS))
        panelScales.update(from: scales + rows.lowerBound, count: rows.count)
    }
}

private let keysTogether = KeyValueSegment.keysTogether
