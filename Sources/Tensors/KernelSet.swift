import CKernels

/// The kernels of one instruction set, which `Tensor` and `Weight` call with checked shapes.
///
/// `@unchecked Sendable`: the C table is constant.
public struct KernelSet: @unchecked Sendable, CustomStringConvertible {
    let table: kernel_set

    /// Sets this CPU runs, fastest first; the last is scalar, the definition.
    public static let available: [KernelSet] = {
        var count = 0
        let sets = kernel_sets(&count)!
        return (0..<count).map { KernelSet(table: sets[$0]!.pointee) }
    }()

    public static var best: KernelSet { available[0] }

    /// "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neon-dotprod", "neon-i8mm".
    public var name: String { String(cString: table.isa) }
    public var description: String { name }
}

/// Elements that one thread takes at a time in an elementwise operation.
private let elementwiseGrain = 32_768

extension Tensor {
    /// A tensor of this shape whose elements `kernel` writes from this tensor's: (out, x, count), in pieces.
    private func mapped(_ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x) = (result.mutableFloats, floats)
        device.threads.parallelFor(shape.count, grain: elementwiseGrain) { range in
            kernel(out + range.lowerBound, x + range.lowerBound, range.count)
        }
        return result
    }

    private func combined(
        _ other: Tensor,
        _ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int) -> Void
    ) -> Tensor {
        precondition(shape == other.shape, "elementwise: \(shape) and \(other.shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, a, b) = (result.mutableFloats, floats, other.floats)
        device.threads.parallelFor(shape.count, grain: elementwiseGrain) { range in
            kernel(out + range.lowerBound, a + range.lowerBound, b + range.lowerBound, range.count)
        }
        return result
    }

    /// A tensor of this shape whose rows `kernel` writes from this tensor's rows: (out, x, row).
    private func mappedRows(_ kernel: (UnsafeMutablePointer<Float>, UnsafePointer<Float>, Int) -> Void) -> Tensor {
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, columns) = (result.mutableFloats, floats, columns)
        device.threads.parallelFor(rows, grain: max(1, elementwiseGrain / max(1, columns))) { range in
            for row in range { kernel(out + row * columns, x + row * columns, row) }
        }
        return result
    }

    public static func + (a: Tensor, b: Tensor) -> Tensor {
        a.combined(b) { a.device.kernels.table.add($0, $1, $2, $3) }
    }

    public static func * (a: Tensor, b: Tensor) -> Tensor {
        a.combined(b) { a.device.kernels.table.multiply($0, $1, $2, $3) }
    }

    public static func * (a: Tensor, factor: Float) -> Tensor {
        a.mapped { a.device.kernels.table.scale($0, $1, factor, $2) }
    }

    /// min(max(x, low), high)
    public func clamped(_ low: Float, _ high: Float) -> Tensor {
        mapped { device.kernels.table.clamp($0, $1, low, high, $2) }
    }

    /// x · sigmoid(x)
    public func silu() -> Tensor { mapped { device.kernels.table.silu($0, $1, $2) } }

    /// cap · tanh(x / cap)
    public func softCapped(_ cap: Float) -> Tensor { mapped { device.kernels.table.soft_cap($0, $1, cap, $2) } }

    /// GELU(self) ⊙ up, the tanh form of GELU.
    public func geluMultiplied(by up: Tensor) -> Tensor {
        combined(up) { device.kernels.table.gelu_multiply($0, $1, $2, $3) }
    }

    /// Gated linear unit: the first half of each row times the sigmoid of the second half. `[rows, 2n]` to `[rows, n]`.
    public func gatedLinearUnit() -> Tensor {
        let half = columns / 2
        let result = Tensor(uninitialized: [rows, half], on: device)
        let (out, x) = (result.mutableFloats, floats)
        device.threads.parallelFor(rows, grain: 16) { range in
            for row in range {
                let value = x + row * 2 * half
                device.kernels.table.sigmoid_multiply(out + row * half, value, value + half, half)
            }
        }
        return result
    }

    /// x / √(mean(x²) + eps) · weight over the last axis; without a weight if nil.
    public func rmsNormalized(_ weight: Tensor?, eps: Float) -> Tensor {
        precondition(
            weight == nil || weight!.shape == [columns], "rmsNormalized: weight \(weight!.shape) for rows of \(columns)"
        )
        let (weight, columns) = (weight?.floats, columns)
        return mappedRows { out, x, _ in device.kernels.table.rms_norm(out, x, weight, eps, columns) }
    }

    /// (x − mean) / √(variance + eps) · weight over the last axis.
    public func layerNormalized(_ weight: Tensor, eps: Float) -> Tensor {
        precondition(weight.shape == [columns], "layerNormalized: weight \(weight.shape) for rows of \(columns)")
        let (weight, columns) = (weight.floats, columns)
        return mappedRows { out, x, _ in device.kernels.table.layer_norm(out, x, weight, eps, columns) }
    }

    /// Rotates every head of `[rows, heads, size]` in the half-split layout: the pairs (k, k + size/2) of row t by the
    /// angles whose cosines and sines are row t of `[rows, size/2]`. With tables of `[rows, parts, size/parts/2]` a head
    /// is so many parts, each rotated on its own.
    public func rotated(cosines: Tensor, sines: Tensor) -> Tensor {
        let (count, heads, size) = (shape[0], shape[1], shape[2])
        let parts = cosines.shape.rank == 3 ? cosines.shape[1] : 1
        let half = size / parts / 2
        precondition(
            cosines.shape[0] == count && cosines.shape.count == count * parts * half && sines.shape == cosines.shape,
            "rotated: cosines \(cosines.shape), sines \(sines.shape) for \(shape)")
        let result = Tensor(uninitialized: shape, on: device)
        let (out, x, cosine, sine) = (result.mutableFloats, floats, cosines.floats, sines.floats)
        device.threads.parallelFor(count, grain: 8) { range in
            for row in range {
                let first = row * heads * size
                (out + first).update(from: x + first, count: heads * size)
                for head in 0..<heads {
                    for part in 0..<parts {
                        let angles = (row * parts + part) * half
                        device.kernels.table.rotate(
                            out + first + head * size + part * 2 * half, cosine + angles, sine + angles, half)
                    }
                }
            }
        }
        return result
    }

    /// Every element as f32; itself if it is f32.
    public func widened() -> Tensor {
        guard elementType != .float32 else { return self }
        let result = Tensor(uninitialized: shape, on: device)
        widen(into: result.mutableFloats, from: 0, count: shape.count)
        return result
    }

    /// Writes `count` elements from element `first` on as f32.
    func widen(into out: UnsafeMutablePointer<Float>, from first: Int, count: Int) {
        if let block = elementType.block {
            decode(block, into: out, from: first, count: count)
            return
        }
        let source = bytes + elementType.byteCount(first)
        if elementType == .float32 {
            out.update(from: source.assumingMemoryBound(to: Float.self), count: count)
        } else {
            let widen = elementType == .bfloat16 ? device.kernels.table.widen_bf16 : device.kernels.table.widen_f16
            widen!(out, source.assumingMemoryBound(to: UInt16.self), count)
        }
    }

    private func decode(_ block: block_type, into out: UnsafeMutablePointer<Float>, from first: Int, count: Int) {
        let length = elementType.blockLength
        let (begin, end) = (first / length, (first + count + length - 1) / length)
        let source = (bytes + begin * elementType.blockByteCount).assumingMemoryBound(to: UInt8.self)
        let before = first - begin * length
        guard before > 0 || count % length > 0 else {
            device.kernels.table.decode(out, source, end - begin, block)
            return
        }
        device.withScratch((end - begin) * length) { whole in
            device.kernels.table.decode(whole, source, end - begin, block)
            out.update(from: whole + before, count: count)
        }
    }
}

extension KernelSet {
    /// out[t, r] = Σ_c weight[r, c] · x[t, c] for r in `rows`: for few tokens, streaming the weight once.
    func product(
        _ out: UnsafeMutablePointer<Float>, _ weight: Tensor, _ x: UnsafePointer<Float>, tokens: Int, rows: Range<Int>
    ) {
        var shape = product_shape(
            tokens: tokens, columns: weight.columns, weight_stride: weight.columns, x_stride: weight.columns,
            out_stride: weight.rows, first_row: rows.lowerBound, end_row: rows.upperBound)
        switch weight.elementType {
        case .float32: table.f32_product(out, weight.floats, x, &shape)
        case .bfloat16: table.bf16_product(out, weight.bytes.assumingMemoryBound(to: UInt16.self), x, &shape)
        case .float16: table.f16_product(out, weight.bytes.assumingMemoryBound(to: UInt16.self), x, &shape)
        default:
            weight.device.withScratch(rows.count * weight.columns) { decoded in
                weight.widen(into: decoded, from: rows.lowerBound * weight.columns, count: rows.count * weight.columns)
                (shape.first_row, shape.end_row) = (0, rows.count)
                table.f32_product(out + rows.lowerBound, decoded, x, &shape)
            }
        }
    }
}
