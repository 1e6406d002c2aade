import CKernels

/// The type of the activations that quantized weights are multiplied by.
public enum Activations: Sendable {
    /// Activations stay f32; the weights are dequantized.
    case float32
    /// Activations are quantized to int8 with a scale per 32, so that products are integer dot products: several
    /// times faster.
    case int8
}

/// A weight matrix, `[rows, columns]`: mapped from its file, or quantized or packed in memory.
///
/// Packed weights interleave 16 rows, as the kernels for int8 activations read them. They take as many bytes as in
/// the file, except iq2 and iq3, whose grid indices are expanded to weights of 3 and 4 bits.
package struct Weight: Sendable {
    package let rows, columns: Int
    package let elementType: ElementType
    /// The scales of an integer weight; nil for other types.
    package let scales: IntegerScales?
    fileprivate let form: Form

    fileprivate enum Form {
        case plain(Tensor)
        case packed(Storage, PackedLayout)
    }

    /// - Parameters:
    ///   - tensor: `[rows, columns]`. If it can be packed, it is, on all threads, and is no longer needed
    ///     afterwards.
    ///   - activations: the type of the activations that it will be multiplied by.
    ///   - type: one of `BlockQuantizer.types`, to which an f32, bf16 or f16 tensor is quantized first if its rows
    ///     are whole blocks of it; nil keeps the stored type.
    package init(_ tensor: Tensor, activations: Activations, roundedTo type: ElementType? = nil) {
        self.init(tensor, scales: nil, activations: activations, roundedTo: type)
    }

    /// An integer weight. If `inputStep` is positive and a row has at most `INTEGER_COLUMNS` elements, activations
    /// are integers too, whatever `activations` says: the product is the same.
    package init(_ tensor: Tensor, scales: IntegerScales, activations: Activations) {
        precondition(
            tensor.elementType.isInteger && scales.rowScales.shape == [tensor.rows],
            "Weight: scales \(scales.rowScales.shape) of \(tensor.shape) \(tensor.elementType)")
        let isExact = scales.inputStep > 0 && tensor.columns <= Int(INTEGER_COLUMNS)
        self.init(tensor, scales: scales, activations: isExact ? .int8 : activations, roundedTo: nil)
    }

    private init(_ tensor: Tensor, scales: IntegerScales?, activations: Activations, roundedTo type: ElementType?) {
        self.scales = scales
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

    /// Quantizes groups of rows if their type differs, and interleaves them if they are to be packed.
    private static func fill(_ memory: PackedMemory.Bytes, _ layout: PackedLayout, from tensor: Tensor, packed: Bool) {
        let target = memory.start.assumingMemoryBound(to: UInt8.self)
        let columns = layout.columns
        let rowBytes = layout.elementType.byteCount(columns)
        let isRounded = layout.elementType != tensor.elementType
        let scratchBytes = isRounded ? PackedLayout.interleavedRows * rowBytes + 4 * columns : 0
        let bytes = min(1 << 20, layout.byteCount / (4 * tensor.device.threads.count))
        tensor.device.threads.parallelFor(layout.rows, grain: layout.grain(bytes: bytes)) { range in
            tensor.device.withScratch((scratchBytes + 3) / 4) { scratch in
                let rounded = UnsafeMutableRawPointer(scratch + columns).assumingMemoryBound(to: UInt8.self)
                for row in stride(from: range.lowerBound, to: range.upperBound, by: PackedLayout.interleavedRows) {
                    let count = min(PackedLayout.interleavedRows, range.upperBound - row)
                    let out = target + row * (packed ? layout.rowBytes : rowBytes)
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

    package var isPacked: Bool {
        if case .packed = form { true } else { false }
    }

    /// Whether it no longer needs the tensor that it was created from.
    package let isCopied: Bool

    /// Bytes that one product reads.
    package var byteCount: Int {
        switch form {
        case .plain: elementType.byteCount(rows * columns)
        case .packed(_, let layout): rows * layout.rowBytes
        }
    }

    package var device: Device {
        switch form {
        case .plain(let tensor): tensor.device
        case .packed(let storage, _): storage.device
        }
    }
}

extension Tensor {
    /// self · weightᵀ: `[tokens, columns]` and `[rows, columns]` to `[tokens, rows]`.
    ///
    /// A row of the result depends only on its own row of activations: not on the other rows, nor on the number of
    /// threads. (For f32 activations see `product(_:)` of tensors.)
    package func product(_ weight: Weight) -> Tensor { products([weight])[0] }

    /// The product of the clamped activations, clamped to `output`.
    package func product(_ weight: Weight, input: Clamp, output: Clamp) -> Tensor {
        if case .plain(let tensor) = weight.form, weight.scales == nil {
            return product(tensor, input: input, output: output)
        }
        return clamped(input).product(weight).clamped(output)
    }

    /// The products with several weights: the activations are quantized once, and threads share the rows of all
    /// weights.
    package func products(_ weights: [Weight]) -> [Tensor] { Tensor.products([(self, weights)])[0] }

    /// The same for several tensors, each with its own weights.
    package static func products(_ operands: [(x: Tensor, weights: [Weight])]) -> [[Tensor]] {
        for (x, weights) in operands {
            for weight in weights {
                precondition(
                    weight.columns == x.columns, "product: \(x.shape) with weight [\(weight.rows), \(weight.columns)]")
            }
        }
        let results = operands.map { x, weights in
            weights.map { weight in
                if case .plain(let tensor) = weight.form {
                    x.product(tensor, weight.scales)
                } else {
                    Tensor(uninitialized: [x.rows, weight.rows], on: x.device)
                }
            }
        }
        let pairs = zip(operands, results).flatMap { operand, results in
            zip(operand.weights, results).map { (x: operand.x, weight: $0, result: $1) }
        }.filter(\.weight.isPacked)
        guard let device = pairs.first?.x.device else { return results }
        QuantizedActivations.with(pairs.map { ($0.x, $0.weight) }) { quantized in
            let products = zip(pairs, quantized).map { pair, x in
                PackedProduct(pair.weight, x, tokens: pair.x.rows, out: pair.result)!
            }
            let bytes = PackedProduct.pieceBytes(products, device)
            let pieces = products.flatMap { $0.pieces(rows: $0.layout.grain(bytes: bytes)) }
            device.threads.parallelFor(pieces.count) { range in
                for index in range { pieces[index].run(device.kernels) }
            }
        }
        return results
    }

    /// GELU(x · gateᵀ) ⊙ (x · upᵀ) for several tensors, each with a pair of weights of equal shape. For many tokens
    /// and packed weights both products stay in the core's cache, and only the result is written to memory; for one
    /// token they fit into the cache anyway.
    package static func gatedProducts(_ operands: [(x: Tensor, gate: Weight, up: Weight)]) -> [Tensor] {
        guard let device = operands.first?.x.device, operands.contains(where: { $0.x.rows > 1 }),
            operands.allSatisfy({ $0.gate.isPacked && $0.up.isPacked })
        else {
            return products(operands.map { ($0, [$1, $2]) }).map { $0[0].geluMultiplied(by: $0[1]) }
        }
        let results = operands.map { x, gate, up in
            precondition(
                gate.columns == x.columns && up.columns == x.columns && gate.rows == up.rows,
                "gatedProducts: \(x.shape), gate [\(gate.rows), \(gate.columns)], up [\(up.rows), \(up.columns)]")
            return Tensor(uninitialized: [x.rows, gate.rows], on: x.device)
        }
        QuantizedActivations.with(operands.flatMap { [($0.x, $0.gate), ($0.x, $0.up)] }) { quantized in
            let pairs = zip(operands, results).enumerated().map { index, operand in
                let ((x, gate, up), result) = operand
                return [
                    PackedProduct(gate, quantized[2 * index], tokens: x.rows, out: result)!,
                    PackedProduct(up, quantized[2 * index + 1], tokens: x.rows, out: result)!,
                ]
            }
            let bytes = PackedProduct.pieceBytes(pairs.flatMap { $0 }, device)
            let pieces = pairs.flatMap { pair in
                // Both products of all tokens, at most 256 KB, stay in the second-level cache.
                let rows = min(
                    pair[0].layout.grain(bytes: bytes / 2),
                    max(1, 2_048 / max(1, pair[0].tokens)) * PackedLayout.interleavedRows)
                return zip(pair[0].pieces(rows: rows), pair[1].pieces(rows: rows)).map { ($0, $1) }
            }
            device.threads.parallelFor(pieces.count) { range in
                for index in range { PackedProduct.runGated(pieces[index].0, pieces[index].1, device) }
            }
        }
        return results
    }

    /// The product with a weight that is not packed.
    private func product(_ weight: Tensor, _ scales: IntegerScales?) -> Tensor {
        guard let scales else { return product(weight) }
        let sums = rounded(toSteps: scales.inputStep).product(weight)
        return sums.multiplying(row: scales.rowScales).rounded(toSteps: scales.outputStep)
    }
}

/// Quantized activations for packed weights. Valid while `QuantizedActivations.with` runs.
private enum QuantizedActivations {
    /// `[tokens, columns / 32]`.
    case blocks(UnsafePointer<quantized_block>)
    case steps(integer_rows)

    /// Calls `body` with the quantized activations for each weight. An operand whose tensor and step equal one of the
    /// last two is not quantized again.
    static func with(_ operands: [(x: Tensor, weight: Weight)], _ body: ([QuantizedActivations]) -> Void) {
        let device = operands[0].x.device
        var requests: [(x: Tensor, step: Float)] = []
        let places = operands.map { x, weight in
            let step = weight.scales?.inputStep ?? 0
            if let last = requests.indices.suffix(2).last(where: {
                requests[$0].step == step && requests[$0].x.isView(of: x)
            }) {
                return last
            }
            requests.append((x, step))
            return requests.count - 1
        }
        let sizes = requests.map { x, step in
            step > 0
                ? x.shape.count / 4 + 2 * x.rows
                : x.shape.count / 32 * MemoryLayout<quantized_block>.stride / MemoryLayout<Float>.stride
        }
        device.withScratch(sizes.reduce(0, +)) { scratch in
            var next = scratch
            let made = zip(requests, sizes).map { request, size -> QuantizedActivations in
                defer { next += size }
                return request.step > 0
                    ? .steps(quantized(request.x, step: request.step, next)) : .blocks(quantizedBlocks(request.x, next))
            }
            body(places.map { made[$0] })
        }
    }

    private static func quantizedBlocks(
        _ x: Tensor, _ scratch: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<quantized_block> {
        let (values, columns, device) = (x.floats, x.columns, x.device)
        let out = UnsafeMutableRawPointer(scratch).assumingMemoryBound(to: quantized_block.self)
        device.threads.parallelFor(x.rows, grain: max(1, 8192 / columns)) { range in
            let start = range.lowerBound * columns
            device.kernels.table.quantize(out + start / 32, values + start, range.count * columns)
        }
        return UnsafePointer(out)
    }

    private static func quantized(
        _ x: Tensor, step: Float, _ scratch: UnsafeMutablePointer<Float>
    ) -> integer_rows {
        let (source, columns, device) = (x.floats, x.columns, x.device)
        let scales = scratch
        let sums = UnsafeMutableRawPointer(scratch + x.rows).assumingMemoryBound(to: Int32.self)
        let values = UnsafeMutableRawPointer(scratch + 2 * x.rows).assumingMemoryBound(to: Int8.self)
        device.threads.parallelFor(x.rows, grain: max(1, 8192 / columns)) { range in
            for row in range {
                device.kernels.table.quantize_steps(
                    values + row * columns, sums + row, scales + row, source + row * columns, step, columns)
            }
        }
        return integer_rows(values: values, sums: sums, scales: scales)
    }
}

/// The product of a range of rows of a packed weight with int8 activations.
private struct PackedProduct {
    let weight: UnsafePointer<UInt8>
    let layout: PackedLayout
    let x: QuantizedActivations
    let tokens: Int
    private let scales: IntegerScales?
    private var rows: Range<Int>  // starts at a multiple of 16
    private var out: UnsafeMutablePointer<Float>  // token 0 of the first row of the range
    private var outStride: Int

    /// All rows of a weight; nil if it is not packed.
    init?(_ weight: Weight, _ x: QuantizedActivations, tokens: Int, out: Tensor) {
        guard case .packed(let storage, let layout) = weight.form else { return nil }
        self.weight = UnsafePointer(storage.start.assumingMemoryBound(to: UInt8.self))
        (self.layout, self.x, self.tokens, rows) = (layout, x, tokens, 0..<layout.rows)
        (self.out, outStride) = (out.mutableFloats, layout.rows)
        scales = weight.scales
    }

    /// The size of a piece: it stays in a core's cache while all tokens are multiplied by it, and each thread gets
    /// several.
    static func pieceBytes(_ products: [PackedProduct], _ device: Device) -> Int {
        min(1 << 18, products.reduce(0) { $0 + $1.layout.byteCount } / (4 * device.threads.count))
    }

    /// Pieces of `grain` rows, a multiple of 16.
    func pieces(rows grain: Int) -> [PackedProduct] {
        stride(from: 0, to: layout.rows, by: grain).map { first in
            var piece = self
            piece.rows = first..<min(first + grain, layout.rows)
            piece.out = out + first
            return piece
        }
    }

    func run(_ kernels: KernelSet) {
        var shape = product_shape(
            tokens: tokens, columns: layout.columns, weight_stride: layout.rowBytes, x_stride: layout.columns,
            out_stride: outStride, first_row: 0, end_row: rows.count)
        let (kernels, type) = (kernels.table, layout.elementType.block!)
        let first = weight + rows.lowerBound * layout.rowBytes
        let rowScales = scales.map { $0.rowScales.floats + rows.lowerBound }
        switch x {
        case .steps(var x):
            kernels.integer_product(out, first, rowScales, &x, &shape, scales?.outputStep ?? 0, type)
        case .blocks(let blocks):
            kernels.packed_product(out, first, blocks, &shape, type)
            guard let scales, let rowScales else { return }
            for row in stride(from: out, to: out + tokens * outStride, by: outStride) {
                kernels.multiply(row, row, rowScales, rows.count)
                if scales.outputStep > 0 { kernels.round_to_steps(row, row, scales.outputStep, rows.count) }
            }
        }
    }

    /// GELU(gate) ⊙ up, both over the same range of rows.
    static func runGated(_ gate: PackedProduct, _ up: PackedProduct, _ device: Device) {
        let (tokens, rows) = (gate.tokens, gate.rows.count)
        device.withScratch(2 * tokens * rows) { scratch in
            for (product, target) in [(gate, scratch), (up, scratch + tokens * rows)] {
                var product = product
                (product.out, product.outStride) = (target, rows)
                product.run(device.kernels)
            }
            for token in 0..<tokens {
                device.kernels.table.gelu_multiply(
                    gate.out + token * gate.outStride, scratch + token * rows, scratch + (tokens + token) * rows, rows)
            }
        }
    }
}

/// The memory layout of a packed weight.
struct PackedLayout: Sendable {
    /// Rows per interleaved group; the last group is padded with zeros.
    static let interleavedRows = Int(PACKED_ROWS)

    let rows, columns: Int
    let elementType: ElementType
    let rowBytes: Int

    init(rows: Int, columns: Int, elementType: ElementType) {
        (self.rows, self.columns, self.elementType) = (rows, columns, elementType)
        rowBytes = columns / elementType.blockLength * elementType.packedBlockByteCount
    }

    var byteCount: Int { grain(rows: rows) * rowBytes }

    /// The number of rows that fill `bytes`, in whole groups, at least one.
    func grain(bytes: Int) -> Int { grain(rows: max(1, bytes / rowBytes - Self.interleavedRows + 1)) }

    /// `rows` rounded up to whole groups, at least one.
    func grain(rows: Int) -> Int {
        max(1, (rows + Self.interleavedRows - 1) / Self.interleavedRows) * Self.interleavedRows
    }
}
