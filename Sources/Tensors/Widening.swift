import CKernels

extension Tensor {
    /// The tensor converted or dequantized to f32; itself if it is f32.
    package func widened() -> Tensor {
        guard elementType != .float32 else { return self }
        let result = Tensor(uninitialized: shape, on: device)
        widen(into: result.mutableFloats, from: 0, count: shape.count)
        return result
    }

    /// Writes elements `first..<first + count` as f32.
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
