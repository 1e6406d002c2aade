/// A dense row-major array: an activation (f32), or a weight mapped from its file (any element type).
///
/// A value type: operations create new tensors, views share bytes, and only `replaceRows` and `addRows` write in
/// place, after copying bytes that another tensor shares.
package struct Tensor: Sendable {
    package let shape: Shape
    package let elementType: ElementType
    private(set) var storage: Storage
    let byteOffset: Int

    init(shape: Shape, elementType: ElementType, storage: Storage, byteOffset: Int) {
        precondition(
            elementType.blockLength == 1 || shape.columns % elementType.blockLength == 0,
            "Tensor: rows of \(shape) are no whole number of blocks of \(elementType)")
        precondition(
            byteOffset + elementType.byteCount(shape.count) <= storage.byteCount,
            "Tensor: \(shape) \(elementType) at byte \(byteOffset) leaves its storage of \(storage.byteCount) bytes")
        self.shape = shape
        self.elementType = elementType
        self.storage = storage
        self.byteOffset = byteOffset
    }

    /// A tensor of arbitrary content, for an operation to write.
    init(uninitialized shape: Shape, _ type: ElementType = .float32, on device: Device) {
        let storage = Storage(byteCount: type.byteCount(shape.count), on: device)
        self.init(shape: shape, elementType: type, storage: storage, byteOffset: 0)
    }

    /// A copy of `values`, row-major.
    package init(_ values: [Float], _ shape: Shape, on device: Device) {
        precondition(values.count == shape.count, "Tensor: \(values.count) values for shape \(shape)")
        self.init(uninitialized: shape, on: device)
        values.withUnsafeBytes {
            storage.start.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(storage.start), byteCount: $0.count)
        }
    }

    /// Zeros.
    package init(zeros shape: Shape, _ type: ElementType = .float32, on device: Device) {
        self.init(uninitialized: shape, type, on: device)
        storage.start.initializeMemory(as: UInt8.self, repeating: 0, count: type.byteCount(shape.count))
    }

    /// Mapped weights, without a copy. `bytes` must not change while `owner` lives.
    package init(
        mapped bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable, _ shape: Shape, _ type: ElementType,
        on device: Device
    ) {
        self.init(
            shape: shape, elementType: type, storage: Storage(mapped: bytes, owner: owner, on: device), byteOffset: 0)
    }

    package var device: Device { storage.device }
    package var rows: Int { shape.rows }
    package var columns: Int { shape.columns }

    /// The values, row-major; for tests, tools and results.
    package func toArray() -> [Float] {
        let wide = widened()
        return withExtendedLifetime(wide.storage) {
            Array(UnsafeBufferPointer(start: wide.floats, count: shape.count))
        }
    }

    /// The first f32 element. Valid while `storage` lives.
    var floats: UnsafePointer<Float> {
        precondition(elementType == .float32, "Tensor: expected float32, found \(elementType)")
        return UnsafePointer((storage.start + byteOffset).assumingMemoryBound(to: Float.self))
    }

    /// For the operation that creates this tensor.
    var mutableFloats: UnsafeMutablePointer<Float> { UnsafeMutablePointer(mutating: floats) }

    var bytes: UnsafeRawPointer { UnsafeRawPointer(storage.start + byteOffset) }

    /// Calls `body` with the stored bytes of the elements.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(storage) {
            try body(UnsafeRawBufferPointer(start: bytes, count: elementType.byteCount(shape.count)))
        }
    }

    /// Whether both are views of the same bytes in the same shape.
    func isView(of other: Tensor) -> Bool {
        storage === other.storage && byteOffset == other.byteOffset && shape == other.shape
    }

    mutating func makeUnique() {
        guard !holdsOnlyReference() else { return }
        let copy = Tensor(uninitialized: shape, elementType, on: device)
        copy.storage.start.copyMemory(from: bytes, byteCount: elementType.byteCount(shape.count))
        self = copy
    }

    mutating func holdsOnlyReference() -> Bool { !storage.isMapped && isKnownUniquelyReferenced(&storage) }
}

// MARK: Views: the same bytes, another shape

extension Tensor {
    /// The same elements in a different shape.
    package func reshaped(_ shape: Shape) -> Tensor {
        precondition(shape.count == self.shape.count, "reshaped: \(self.shape) to \(shape)")
        return Tensor(shape: shape, elementType: elementType, storage: storage, byteOffset: byteOffset)
    }

    /// `[rows, heads · size]` as `[rows, heads, size]`.
    package func split(heads: Int) -> Tensor { reshaped([rows, heads, columns / heads]) }

    /// `[rows, heads, size]` as `[rows, heads · size]`.
    package func mergeHeads() -> Tensor { reshaped([shape[0], shape.count / max(1, shape[0])]) }

    /// A slice along the first axis.
    package subscript(range: Range<Int>) -> Tensor {
        precondition(range.lowerBound >= 0 && range.upperBound <= shape[0], "slice \(range) of \(shape)")
        let stride = elementType.byteCount(shape.count / max(1, shape[0]))
        return Tensor(
            shape: shape.withFirst(range.count), elementType: elementType, storage: storage,
            byteOffset: byteOffset + range.lowerBound * stride)
    }

    /// One index of the first axis, which is dropped.
    package subscript(index: Int) -> Tensor {
        self[index..<index + 1].reshaped(Shape(Array(shape.dimensions.dropFirst())))
    }
}
