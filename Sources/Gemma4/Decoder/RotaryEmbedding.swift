import Foundation
import Tensors

/// Rotary position embedding of the decoder: rotates the pairs (k, k + d/2) of a head by position · inverse
/// frequency.
///
/// - default (sliding-window layers): every pair is rotated, inverse frequency θ^(−2k/d).
/// - proportional (full-attention layers): the first ⌊partialRotaryFactor · d/2⌋ pairs are rotated, with d the full
///   head size in the exponent; the others are not.
///
/// Angles are f32 products of the position and the f32 inverse frequency, as in the reference: at position 131 071 an
/// exact angle would differ by 0.019 in a cosine.
///
/// Source: transformers, `modeling_rope_utils.py`, `_compute_proportional_rope_parameters`.
struct RotaryEmbedding: Sendable, Hashable {
    let headDimension: Int
    let parameters: RotaryParameters

    /// d/2 elements.
    var inverseFrequencies: [Float] {
        let turning = Int(parameters.partialRotaryFactor * Double(headDimension) / 2)
        return (0..<headDimension / 2).map { k in
            guard k < turning else { return 0 }
            return 1 / Float(pow(parameters.ropeTheta, Double(2 * k) / Double(headDimension)))
                / Float(parameters.factor)
        }
    }

    /// - Returns: cosines and sines, `[positions, d/2]` each.
    func angles(at positions: [Int], on device: Device) -> Rotation {
        let frequencies = inverseFrequencies
        var cosines = [Float]()
        var sines = [Float]()
        cosines.reserveCapacity(positions.count * frequencies.count)
        sines.reserveCapacity(positions.count * frequencies.count)
        for position in positions {
            for frequency in frequencies {
                let angle = Float(position) * frequency
                cosines.append(cos(angle))
                sines.append(sin(angle))
            }
        }
        let shape: Shape = [positions.count, frequencies.count]
        return Rotation(cosines: Tensor(cosines, shape, on: device), sines: Tensor(sines, shape, on: device))
    }
}

/// Cosines and sines of the angles, `[rows, d/2]` each.
struct Rotation: Sendable {
    let cosines, sines: Tensor

    /// Rotates every head of `[rows, heads, d]`.
    func callAsFunction(_ heads: Tensor) -> Tensor { heads.rotated(cosines: cosines, sines: sines) }

    /// The angles of the given rows.
    func gathered(_ rows: [Int]) -> Rotation {
        Rotation(cosines: cosines.gathered(rows), sines: sines.gathered(rows))
    }
}
