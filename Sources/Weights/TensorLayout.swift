import Foundation
import Tensors

/// The layout of a tensor in a file, if it differs from the published one.
///
/// Source: llama.cpp, `conversion/gemma.py`, `modify_tensors`.
package enum TensorLayout: Sendable, Hashable {
    case published
    /// A scalar, `[]`, stored as `[1]`.
    case scalar
    /// `[channels, 1, taps]`, stored as `[channels, taps]`.
    case depthwise
    /// `[rows, side · side · 3]`, color fastest, stored as `[rows, 3, side, side]`, color slowest.
    case colourPlanes
    /// `[…, side · side · 3]`, color fastest, stored in the same shape, color slowest.
    case colourRuns
    /// `[positions, 2, columns]`, x and y interleaved, stored as `[2, positions, columns]`.
    case axesApart
    /// x, stored as ln(1 + eˣ).
    case softplus
    /// `[experts, 2 · rows, columns]`, stored as two tensors `[experts, rows, columns]`: older converters stored the
    /// gate and up projections of experts separately.
    case firstHalves, secondHalves

    /// - Returns: the published shape of a tensor stored in `shape`; `shape` itself if this layout does not apply
    ///   to it.
    package func published(_ shape: [Int]) -> [Int] {
        switch self {
        case .scalar where shape == [1]: []
        case .depthwise where shape.count == 2: [shape[0], 1, shape[1]]
        case .colourPlanes where shape.count == 4 && shape[1] == 3: [shape[0], shape[1] * shape[2] * shape[3]]
        case .axesApart where shape.count == 3 && shape[0] == 2: [shape[1], 2, shape[2]]
        case .firstHalves where shape.count == 3: [shape[0], 2 * shape[1], shape[2]]
        default: shape
        }
    }

    /// - Returns: the shape in which a tensor of the published `shape` is stored.
    package func stored(_ shape: Shape) -> Shape {
        switch self {
        case .published, .softplus, .colourRuns: return shape
        case .axesApart: return [2, shape[0], shape[2]]
        case .scalar: return [1]
        case .firstHalves, .secondHalves: return [shape[0], shape[1] / 2, shape[2]]
        case .depthwise: return [shape[0], shape[2]]
        case .colourPlanes:
            let side = Int(Double(shape[1] / 3).squareRoot())
            return [shape[0], 3, side, side]
        }
    }

    /// Whether the element order is as published: only the shape differs.
    package var keepsNumbers: Bool {
        switch self {
        case .colourPlanes, .colourRuns, .axesApart, .softplus: false
        case .published, .scalar, .depthwise, .firstHalves, .secondHalves: true
        }
    }

    /// The published values of a tensor stored in `shape`.
    func published(_ values: [Float], _ shape: [Int]) -> [Float] {
        switch self {
        case .published, .scalar, .depthwise, .firstHalves, .secondHalves: values
        case .softplus: values.map { Float(log(expm1(Double($0)))) }
        case .colourPlanes: Self.transposed(values, rows: shape[1], columns: shape[2] * shape[3])
        case .colourRuns: Self.transposed(values, rows: 3, columns: shape[shape.count - 1] / 3)
        case .axesApart: Self.transposed(values, rows: 2, columns: shape[1], width: shape[2])
        }
    }

    /// The values to store for a tensor of the published `shape`.
    package func stored(_ values: [Float], _ shape: Shape) -> [Float] {
        switch self {
        case .published, .scalar, .depthwise, .firstHalves, .secondHalves: values
        case .softplus: values.map { Float(log1p(exp(Double($0)))) }
        case .colourPlanes: Self.transposed(values, rows: shape[1] / 3, columns: 3)
        case .colourRuns: Self.transposed(values, rows: shape.columns / 3, columns: 3)
        case .axesApart: Self.transposed(values, rows: shape[0], columns: 2, width: shape[2])
        }
    }

    /// Transposes every matrix of `[…, rows, columns]`, whose elements are `width` values.
    private static func transposed(_ values: [Float], rows: Int, columns: Int, width: Int = 1) -> [Float] {
        [Float](unsafeUninitializedCapacity: values.count) { result, count in
            for start in stride(from: 0, to: values.count, by: rows * columns * width) {
                for row in 0..<rows {
                    for column in 0..<columns {
                        let (from, to) = ((row * columns + column) * width, (column * rows + row) * width)
                        for offset in 0..<width { result[start + to + offset] = values[start + from + offset] }
                    }
                }
            }
            count = values.count
        }
    }
}
