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
        let memory = tensor.device.packedMemory.take(layout.byteCount)
        Self.fill(memory, layout, from: tensor, packed: isPacked)
        form =
            isPacked
            ? .packed(Storage(mapped: memory.buffer, owner: memory.owner, on: tensor.device), layout)
            : .plain(Tensor(mapped: memory.buffer, owner: memory.owner, tensor.shape, elementType, on: tensor.device))
    }

    /// Rounds groups of rows where their type differs, and interleaves them if they are to be packed.
    private static func fill(_ memory: PackedMemory.Bytes, _ layout: PackedLayout, from tensor: Tensor, packed: Bool) {
        let target = memory.start.assumingMemoryBound(to: UInt8.self)
        let (columns, rowBytes) = (layout.columns, layout.rowBytes)
        let isRounded = layout.elementType != tensor.elementType
        let scratchBytes = isRounded ? PackedLayout.rowsTogether * rowBytes + 4 * columns : 0
        let bytes = min(1 << 20, layout.byteCount / (4 * tensor.device.threads.count))
        tensor.device.threads.parallelFor(layout.rows, grain: layout.grain(bytes: bytes)) { range in
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

    /// The products with several weights: the activations are rounded once, and threads share the rows of all weights.
    public func products(_ weights: [Weight]) -> [Tensor] { Tensor.products([(self, weights)])[0] }

    /// The same for several tensors, each with weights of its own.
    public static func products(_ operands: [(x: Tensor, weights: [Weight])]) -> [[Tensor]] {
        for (x, weights) in operands {
            for weight in weights {
                precondition(
                    weight.columns == x.columns, "product: \(x.shape) with weight [\(weight.rows), \(weight.columns)]")
            }
        }
        let results = operands.map { x, weights in
            weights.map { weight in
                if case .plain(let tensor) = weight.form {
                    x.product(tensor)
                } else {
                    Tensor(uninitialized: [x.rows, weight.rows], on: x.device)
                }
            }
        }
        let packed = zip(operands, results).filter { operand, _ in operand.weights.contains(where: \.isPacked) }
        guard let device = packed.first?.0.x.device else { return results }
        withQuantizedBlocks(packed.map(\.0.x)) { blocks in
            var products: [PackedProduct] = []
            for (((x, weights), results), blocks) in zip(packed, blocks) {
                for (weight, result) in zip(weights, results) {
                    guard case .packed(let storage, let layout) = weight.form else { continue }
                    products.append(
                        PackedProduct(
                            out: result.mutableFloats, weight: storage.start.assumingMemoryBound(to: UInt8.self),
                            layout: layout, x: blocks, tokens: x.rows, rows: 0..<layout.rows))
                }
            }
            // Pieces of weights that stay in a core's cache while all tokens pass, and several for each thread.
            let byteCount = products.reduce(0) { $0 + $1.layout.byteCount }
            let bytes = min(1 << 18, byteCount / (4 * device.threads.count))
            let pieces = products.flatMap { $0.pieces(bytes: bytes) }
            device.threads.parallelFor(pieces.count) { range in
                for index in range { pieces[index].run(device.kernels) }
            }
        }
        return results
    }

    /// Calls `body` with the rows of each tensor in 8 bits, `[rows, columns / 32]` blocks.
    private static func withQuantizedBlocks(
        _ tensors: [Tensor], _ body: ([UnsafeMutablePointer<quantized_block>]) -> Void
    ) {
        let device = tensors[0].device
        let count = tensors.reduce(0) { $0 + $1.shape.count / 32 }
        let floatsOfBlock = MemoryLayout<quantized_block>.stride / MemoryLayout<Float>.stride
        device.withScratch(count * floatsOfBlock) { scratch in
            scratch.withMemoryRebound(to: quantized_block.self, capacity: count) { all in
                var next = all
                let blocks = tensors.map { x in
                    let (first, values, columns) = (next, x.floats, x.columns)
                    device.threads.parallelFor(x.rows, grain: max(1, 65_536 / columns)) { range in
                        let start = range.lowerBound * columns
                        device.kernels.table.quantize(first + start / 32, values + start, range.count * columns)
                    }
                    next += x.shape.count / 32
                    return first
                }
                body(blocks)
            }
        }
    }
}

/// Some rows of a packed weight times activations of 8 bits.
private struct PackedProduct {
    let out: UnsafeMutablePointer<Float>
    let weight: UnsafePointer<UInt8>
    let layout: PackedLayout
    let x: UnsafePointer<quantized_block>
    let tokens: Int
    var rows: Range<Int>  // begins at a multiple of 16

    /// Pieces whose weights have about `bytes` bytes.
    func pieces(bytes: Int) -> [PackedProduct] {
        let grain = layout.grain(bytes: bytes)
        return stride(from: 0, to: layout.rows, by: grain).map { first in
            var piece = self
            piece.rows = first..<min(first + grain, layout.rows)
            return piece
        }
    }

    /// `out[t, r]` for r in `rows`.
    func run(_ kernels: KernelSet) {
        var shape = product_shape(
            tokens: tokens, columns: layout.columns, weight_stride: layout.rowBytes, x_stride: layout.columns,
            out_stride: layout.rows, first_row: rows.lowerBound, end_row: rows.upperBound)
        kernels.table.packed_product(out, weight, x, &shape, layout.elementType.block!)
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
