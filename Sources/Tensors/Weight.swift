import CKernels

/// What activations become before they meet weights in blocks of 4 to 8 bits.
public enum Activations: Sendable {
    /// They stay as they are; the weights are decoded.
    case float32
    /// Every 32 of them share a scale and have 8 bits each, so that products are sums of bytes: several times faster.
    case int8
}

/// A matrix that activations are multiplied by, `[rows, columns]`: where it lies in its file, or rounded to fewer bits
/// or packed in memory.
///
/// Packed, 16 rows lie interleaved, as the kernels for 8-bit activations read them; the bytes are as many as in the file.
public struct Weight: Sendable {
    public let rows, columns: Int
    public let elementType: ElementType
    fileprivate let form: Form

    fileprivate enum Form {
        case plain(Tensor)
        case packed(Storage, PackedLayout)
    }

    /// - Parameters:
    ///   - tensor: `[rows, columns]`. If it can be packed, it is, on all threads, and no longer needed afterwards.
    ///   - activations: what it will be multiplied by.
    ///   - type: one of `BlockQuantizer.types`, into which numbers of f32, bf16 or f16 are rounded first if their rows
    ///     are whole blocks of it; nil leaves them.
    public init(_ tensor: Tensor, activations: Activations, roundedTo type: ElementType? = nil) {
        let isFloat = tensor.elementType.blockLength == 1
        let rounded = type.flatMap { isFloat && tensor.columns.isMultiple(of: $0.blockLength) ? $0 : nil }
        let elementType = rounded ?? tensor.elementType
        (rows, columns, self.elementType) = (tensor.rows, tensor.columns, elementType)
        let isPacked = activations == .int8 && elementType.block != nil
        guard isPacked || elementType != tensor.elementType else {
            (form, isCopied) = (.plain(tensor), false)
            return
        }
        isCopied = true
        let layout = PackedLayout(rows: rows, columns: columns, elementType: elementType)
        let memory = PackedMemory(byteCount: layout.byteCount)
        Self.fill(memory, layout, from: tensor, packed: isPacked)
        form =
            isPacked
            ? .packed(Storage(mapped: memory.bytes, owner: memory, on: tensor.device), layout)
            : .plain(Tensor(mapped: memory.bytes, owner: memory, tensor.shape, elementType, on: tensor.device))
    }

    /// Rounds groups of rows where their type differs, and interleaves them if they are to be packed.
    private static func fill(_ memory: PackedMemory, _ layout: PackedLayout, from tensor: Tensor, packed: Bool) {
        let target = memory.start.assumingMemoryBound(to: UInt8.self)
        let (columns, rowBytes) = (layout.columns, layout.rowBytes)
        let isRounded = layout.elementType != tensor.elementType
        let scratchBytes = isRounded ? PackedLayout.rowsTogether * rowBytes + 4 * columns : 0
        tensor.device.threads.parallelFor(layout.rows, grain: layout.grain(bytes: 1 << 20)) { range in
            tensor.device.withScratch((scratchBytes + 3) / 4) { scratch in
                let rounded = UnsafeMutableRawPointer(scratch + columns).assumingMemoryBound(to: UInt8.self)
                for row in stride(from: range.lowerBound, to: range.upperBound, by: PackedLayout.rowsTogether) {
                    let count = min(PackedLayout.rowsTogether, range.upperBound - row)
                    let out = target + row * rowBytes
                    var source = tensor.bytes.assumingMemoryBound(to: UInt8.self) + row * rowBytes
                    if isRounded {
                        let blocks = packed ? rounded : out
                        for index in 0..<count {
                            tensor.widen(into: scratch, from: (row + index) * columns, count: columns)
                            BlockQuantizer.encode(
                                UnsafeBufferPointer(start: scratch, count: columns), as: layout.elementType,
                                into: blocks + index * rowBytes)
                        }
                        source = UnsafePointer(blocks)
                    }
                    if packed { pack(out, source, rowBytes, count, columns, layout.elementType.block!) }
                }
            }
        }
    }

    public var isPacked: Bool {
        if case .packed = form { true } else { false }
    }

    /// Whether it no longer needs the tensor that it was made from.
    public let isCopied: Bool

    /// Bytes that one product reads.
    public var byteCount: Int { elementType.byteCount(rows * columns) }

    public var device: Device {
        switch form {
        case .plain(let tensor): tensor.device
        case .packed(let storage, _): storage.device
        }
    }
}

extension Tensor {
    /// self · weightᵀ: `[tokens, columns]` and `[rows, columns]` to `[tokens, rows]`.
    ///
    /// A row of the result depends on its own row of activations alone: not on the others, not on the number of threads.
    /// (For f32 activations see `product(_:)` of tensors.)
    public func product(_ weight: Weight) -> Tensor { products([weight])[0] }

    /// The products with several weights: the activations are rounded once.
    public func products(_ weights: [Weight]) -> [Tensor] {
        for weight in weights {
            precondition(weight.columns == columns, "product: \(shape) with weight [\(weight.rows), \(weight.columns)]")
        }
        guard weights.contains(where: \.isPacked) else { return weights.map(unpackedProduct) }
        var results: [Tensor] = []
        withQuantizedBlocks { x in
            results = weights.map { weight in
                guard case .packed(let storage, let layout) = weight.form else { return unpackedProduct(weight) }
                return product(x, storage, layout)
            }
        }
        return results
    }

    private func unpackedProduct(_ weight: Weight) -> Tensor {
        guard case .plain(let tensor) = weight.form else { preconditionFailure("product: packed") }
        return product(tensor)
    }

    private func product(_ x: UnsafePointer<quantized_block>, _ weight: Storage, _ layout: PackedLayout) -> Tensor {
        let result = Tensor(uninitialized: [rows, layout.rows], on: device)
        let (out, packed) = (result.mutableFloats, weight.start.assumingMemoryBound(to: UInt8.self))
        // Pieces of the weight that stay in a core's cache while all tokens pass, and several for each thread.
        let grain = min(layout.grain(bytes: 1 << 18), layout.grain(rows: layout.rows / (4 * device.threads.count)))
        device.threads.parallelFor(layout.rows, grain: grain) { range in
            device.kernels.product(out, packed, layout, x, tokens: rows, rows: range)
        }
        return result
    }

    /// Calls `body` with the rows in 8 bits, `[rows, columns / 32]` blocks.
    private func withQuantizedBlocks(_ body: (UnsafePointer<quantized_block>) -> Void) {
        let (x, count, columns) = (floats, shape.count, columns)
        let floatsOfBlock = MemoryLayout<quantized_block>.stride / MemoryLayout<Float>.stride
        device.withScratch(count / 32 * floatsOfBlock) { scratch in
            scratch.withMemoryRebound(to: quantized_block.self, capacity: count / 32) { blocks in
                device.threads.parallelFor(rows, grain: max(1, 65_536 / columns)) { range in
                    let first = range.lowerBound * columns
                    device.kernels.table.quantize(blocks + first / 32, x + first, range.count * columns)
                }
                body(blocks)
            }
        }
    }
}

/// How a packed weight lies in memory.
struct PackedLayout: Sendable {
    /// Rows that are interleaved; the last ones are filled up with zeros.
    static let rowsTogether = 16

    let rows, columns: Int
    let elementType: ElementType
    let rowBytes: Int

    init(rows: Int, columns: Int, elementType: ElementType) {
        (self.rows, self.columns, self.elementType) = (rows, columns, elementType)
        rowBytes = elementType.byteCount(columns)
    }

    var byteCount: Int { grain(rows: rows) * rowBytes }

    /// As many rows as lie in `bytes`, whole groups, at least one.
    func grain(bytes: Int) -> Int { grain(rows: max(1, bytes / rowBytes - Self.rowsTogether + 1)) }

    /// `rows` rounded up to whole groups, at least one.
    func grain(rows: Int) -> Int { max(1, (rows + Self.rowsTogether - 1) / Self.rowsTogether) * Self.rowsTogether }
}

extension KernelSet {
    /// `out[t, r]` for r in `rows`, which begin at a multiple of 16.
    fileprivate func product(
        _ out: UnsafeMutablePointer<Float>, _ weight: UnsafePointer<UInt8>, _ layout: PackedLayout,
        _ x: UnsafePointer<quantized_block>, tokens: Int, rows: Range<Int>
    ) {
        var shape = product_shape(
            tokens: tokens, columns: layout.columns, weight_stride: layout.rowBytes, x_stride: layout.columns,
            out_stride: layout.rows, first_row: rows.lowerBound, end_row: rows.upperBound)
        table.packed_product(out, weight, x, &shape, layout.elementType.block!)
    }
}
