import Synchronization
import Tensors

/// Random weights of any shape, generated in memory: they measure a model's speed on a machine before it is
/// downloaded.
///
/// Matrices preserve the magnitude of activations; vectors (norms, layer scalars) are 1; scalars are absent, so
/// clipped linears are unbounded. Identical on every machine and for any number of threads.
package struct SyntheticWeights: WeightSource {
    package let path = "synthetic weights"
    private let elementType: @Sendable (_ name: String) -> ElementType
    private let patterns = Patterns()

    /// - Parameter elementType: the type of a matrix: bf16, or a block type whose block length divides its rows;
    ///   vectors are bf16.
    package init(elementType: @escaping @Sendable (_ name: String) -> ElementType = { _ in .bfloat16 }) {
        self.elementType = elementType
    }

    package func tensor(_ name: String, _ shape: Shape, on device: Device) -> Tensor? {
        if name.hasSuffix("_scale"), let scale = scale(name) {
            return Tensor(Array(repeating: scale, count: shape.count), shape, on: device)
        }
        guard shape.rank > 0 else { return nil }
        let type = shape.rank > 1 ? elementType(name) : .bfloat16
        if type.blockLength > 1 { return blocks(shape, type, on: device) }
        let memory = OwnedBytes(count: ElementType.bfloat16.byteCount(shape.count)) { buffer in
            let elements = UncheckedElements(buffer.bindMemory(to: UInt16.self))
            let chunkSize = 1 << 16
            let chunks = (shape.count + chunkSize - 1) / chunkSize
            let exponent = Self.exponent(columns: shape.columns)
            device.threads.parallelFor(chunks) { range in
                for chunk in range {
                    let part = elements[chunk * chunkSize..<min(shape.count, (chunk + 1) * chunkSize)]
                    if shape.rank == 1 {
                        part.update(repeating: 0x3F80)  // 1
                    } else {
                        Self.fill(part, seed: UInt64(chunk), exponent: exponent)
                    }
                }
            }
        }
        return Tensor(mapped: memory.bytes, owner: memory, shape, .bfloat16, on: device)
    }

    /// The scale of integers, or the step of their activations; nil if the tensor's module has no integers.
    private func scale(_ name: String) -> Float? {
        guard let dot = name.lastIndex(of: ".") else { return nil }
        let type = elementType("\(name[..<dot]).weight")
        guard type.isInteger else { return nil }
        return name.hasSuffix("_activation_scale") ? 1 / 32 : 1 / Float(1 << (2 + type.blockByteCount / 4))
    }

    /// A tensor filled with repetitions of one pattern of random blocks.
    private func blocks(_ shape: Shape, _ type: ElementType, on device: Device) -> Tensor {
        let pattern = patterns[type, Self.exponent(columns: shape.columns), device.threads]
        let memory = OwnedBytes(count: type.byteCount(shape.count)) { buffer in
            for start in stride(from: 0, to: buffer.count, by: pattern.count) {
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[start..<min(buffer.count, start + pattern.count)])
                part.copyBytes(from: pattern[..<part.count])
            }
        }
        return Tensor(mapped: memory.bytes, owner: memory, shape, type, on: device)
    }

    /// Quantized random values, by element type and magnitude.
    private final class Patterns: Sendable {
        private struct Key: Hashable {
            let type: ElementType
            let exponent: UInt16
        }

        private let made = Mutex<[Key: [UInt8]]>([:])

        subscript(type: ElementType, exponent: UInt16, threads: ThreadPool) -> [UInt8] {
            made.withLock { made in
                let key = Key(type: type, exponent: exponent)
                if let pattern = made[key] { return pattern }
                guard BlockQuantizer.types.contains(type) else {
                    let pattern = SyntheticWeights.randomBlocks(type, exponent: exponent)
                    made[key] = pattern
                    return pattern
                }
                var halves = [UInt16](repeating: 0, count: 1 << 18)
                halves.withUnsafeMutableBufferPointer { SyntheticWeights.fill($0, seed: 0, exponent: exponent) }
                // Scales values to the upper half of the range of integers.
                let factor =
                    type.isInteger
                    ? Float(sign: .plus, exponent: type.blockByteCount / 4 - 2 + 127 - Int(exponent), significand: 1)
                    : 1
                let numbers = halves.map { Float(bitPattern: UInt32($0) << 16) * factor }
                let pattern = BlockQuantizer.encode(numbers, as: type, on: threads)
                made[key] = pattern
                return pattern
            }
        }
    }

    /// Random bytes for types without an encoder, 2¹⁸ weights, with a scale that makes them about ±1.5 · 2^e.
    private static func randomBlocks(_ type: ElementType, exponent: UInt16) -> [UInt8] {
        let count = type.byteCount(1 << 18)
        var state: UInt64 = 1  // LCG of Knuth's MMIX
        var bytes = (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(state >> 56)
        }
        let unit = Float(sign: .plus, exponent: Int(exponent) - 127, significand: 1)
        let scale = Float16(unit * ([.iq2_xxs, .iq2_xs, .iq2_s].contains(type) ? 0.03 : 0.01)).bitPattern
        for block in stride(from: type.scaleOffsets[0], to: count, by: type.blockByteCount) {
            (bytes[block], bytes[block + 1]) = (UInt8(scale & 255), UInt8(scale >> 8))
        }
        return bytes
    }

    package func advise(_ access: MappedFile.Access, _ name: String) {}

    /// The exponent e, biased as in bf16, for which ±[1, 2) · 2^e is about 1/√columns.
    private static func exponent(columns: Int) -> UInt16 {
        UInt16(127 - (Int.bitWidth - columns.leadingZeroBitCount + 1) / 2)
    }

    /// Signs and significands from a generator (xorshift64*; Vigna, ACM TOMS 42.4), four per step.
    fileprivate static func fill(_ elements: UnsafeMutableBufferPointer<UInt16>, seed: UInt64, exponent: UInt16) {
        var state = (seed &+ 1) &* 0x9E37_79B9_7F4A_7C15
        var index = 0
        while index < elements.count {
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            let random = state &* 0x2545_F491_4F6C_DD1D
            for lane in 0..<min(4, elements.count - index) {
                elements[index + lane] =
                    UInt16(truncatingIfNeeded: random >> (16 * UInt64(lane))) & 0x807F | exponent << 7
            }
            index += 4
        }
    }
}

/// `@unchecked Sendable`: threads write disjoint ranges.
private struct UncheckedElements: @unchecked Sendable {
    private let buffer: UnsafeMutableBufferPointer<UInt16>

    init(_ buffer: UnsafeMutableBufferPointer<UInt16>) { self.buffer = buffer }

    subscript(range: Range<Int>) -> UnsafeMutableBufferPointer<UInt16> {
        UnsafeMutableBufferPointer(rebasing: buffer[range])
    }
}
