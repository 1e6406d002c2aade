/// Up to four dimensions, row-major: the last varies fastest.
package struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    package let rank: Int
    private let sizes: SIMD4<Int>  // unused dimensions are 1

    package init(_ sizes: [Int]) {
        precondition(
            sizes.count <= 4 && sizes.allSatisfy { $0 >= 0 }, "Shape: expected up to 4 sizes >= 0, found \(sizes)")
        rank = sizes.count
        var stored = SIMD4<Int>(repeating: 1)
        for (axis, size) in sizes.enumerated() { stored[axis] = size }
        self.sizes = stored
    }

    package init(arrayLiteral sizes: Int...) { self.init(sizes) }

    /// The size of one axis; negative axes count from the last.
    package subscript(axis: Int) -> Int {
        let index = axis < 0 ? rank + axis : axis
        precondition(index >= 0 && index < rank, "Shape: axis \(axis) of \(self)")
        return sizes[index]
    }

    package var count: Int { sizes[0] * sizes[1] * sizes[2] * sizes[3] }
    package var dimensions: [Int] { (0..<rank).map { sizes[$0] } }
    package var description: String { "\(dimensions)" }

    /// Rows of the tensor as a matrix whose columns are the last axis.
    package var rows: Int { rank == 0 || self[-1] == 0 ? 1 : count / self[-1] }
    package var columns: Int { rank == 0 ? 1 : self[-1] }

    /// The same shape with a different size of the first axis.
    package func withFirst(_ size: Int) -> Shape { Shape([size] + dimensions.dropFirst()) }
}
