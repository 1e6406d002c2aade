import TestSupport
import Testing

@testable import Tensors

@Suite struct TensorTests {
    let device = Device(threadCount: 2)

    @Test func viewsShareBytes() {
        let tensor = Tensor((0..<24).map(Float.init), [4, 6], on: device)
        let made = device.buffersMade
        #expect(tensor[1..<3].toArray() == (6..<18).map(Float.init))
        #expect(tensor[2].shape == [6])
        #expect(tensor.split(heads: 3).shape == [4, 3, 2])
        #expect(tensor.split(heads: 3)[3][1].toArray() == [20, 21])
        #expect(tensor.split(heads: 3).mergeHeads().shape == [4, 6])
        #expect(tensor.reshaped([2, 12])[1].toArray() == (12..<24).map(Float.init))
        #expect(device.buffersMade == made)
    }

    /// A tensor is a value: writing to one never affects another, and copies only if the storage is shared.
    @Test func replacesRowsOfItsOwnCopy() {
        var tensor = Tensor(zeros: [3, 2], on: device)
        let rows = Tensor([1, 2], [1, 2], on: device)
        let before = device.buffersMade
        tensor.replaceRows(from: 1, with: rows)
        #expect(device.buffersMade == before)
        let copy = tensor
        let view = tensor[1..<2]
        tensor.replaceRows(from: 2, with: rows)
        tensor.replaceRows(from: 1, with: rows * 3)
        #expect(copy.toArray() == [0, 0, 1, 2, 0, 0])
        #expect(view.toArray() == [1, 2])
        #expect(tensor.toArray() == [0, 0, 3, 6, 1, 2])
    }

    @Test func addsRowsInOrder() {
        var tensor = Tensor([1, 1, 2, 2, 3, 3], [3, 2], on: device)
        let copy = tensor
        tensor.addRows(at: [2, 0, 2], Tensor([1, 2, 3, 4, 5, 6], [3, 2], on: device), weights: [1, 2, 1])
        #expect(tensor.toArray() == [7, 9, 2, 2, 9, 11])
        #expect(copy.toArray() == [1, 1, 2, 2, 3, 3])
    }

    @Test func gathersAndConcatenates() {
        let tensor = Tensor((0..<8).map(Float.init), [4, 2], on: device)
        #expect(tensor.gathered([3, 0, 3]).toArray() == [6, 7, 0, 1, 6, 7])
        #expect(Tensor.concatenated([tensor[2..<3], tensor[0..<2]]).toArray() == [4, 5, 0, 1, 2, 3])
        #expect(tensor.gathered([]).shape == [0, 2])
    }

    @Test func halvesGateHalves() {
        let gated = Tensor([2, -4, 0, 100, 6, 8, -100, 0], [2, 4], on: device).gatedLinearUnit()
        #expect(gated.toArray() == [1, -4, 0, 4])  // sigmoid: 1/2, 1, 0 (under 2^-127 · 6), 1/2
    }

    /// Elementwise work is split among threads; the parts cover the whole.
    @Test func piecesMakeTheWhole() {
        var numbers = SeededNumbers(seed: 9)
        let (a, b) = (numbers.floats(100_003), numbers.floats(100_003))
        let (x, y) = (Tensor(a, [100_003], on: device), Tensor(b, [100_003], on: device))
        #expect((x + y).toArray() == zip(a, b).map(+))
        #expect((x * y).toArray() == zip(a, b).map(*))
        #expect((x * 0.5).toArray() == a.map { $0 * 0.5 })
        #expect(x.clamped(-0.1, 0.2).toArray() == a.map { min(max($0, -0.1), 0.2) })
    }
}

@Suite struct BufferPoolTests {
    @Test func warmWorkMakesNoBuffer() {
        let device = Device(threadCount: 3)
        var numbers = SeededNumbers(seed: 10)
        let weight = Tensor(numbers.floats(300 * 64), [300, 64], on: device)
        let keys = Tensor(numbers.floats(2000 * 64), [2000, 1, 64], on: device)
        func step() {
            let hidden = Tensor(zeros: [40, 64], on: device).product(weight).rmsNormalized(nil, eps: 1e-6)
            _ = (hidden + hidden).silu()
            let queries = Tensor(zeros: [2, 2, 64], on: device)
            _ = queries.attending(
                to: [KeyValueSegment(firstPosition: 0, keys: keys, values: keys)], visible: [0..<1999, 0..<2000])
        }
        step()
        let warm = device.buffersMade
        for _ in 0..<50 { step() }
        #expect(device.buffersMade == warm)
    }

    @Test func classesWasteLittle() {
        for count in [1, 256, 257, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1, 123_456_789] {
            let size = BufferPool.sizeClass(count)
            #expect(size >= count && size <= max(256, count + count / 4))
            #expect(BufferPool.sizeClass(size) == size)
        }
    }

    /// Beyond the limit the longest idle of the large buffers are freed, so that those in use come back; the small ones
    /// of decoding stay.
    @Test func boundsIdleBytes() {
        let pool = BufferPool()
        let small = pool.take(1000)
        let large = (0..<5).map { _ in pool.take(BufferPool.idleLimit / 4) }
        pool.giveBack(small, byteCount: 1000)
        for buffer in large { pool.giveBack(buffer, byteCount: BufferPool.idleLimit / 4) }
        #expect(pool.idleBytes <= BufferPool.idleLimit)
        #expect(pool.buffersMade == 6)
        #expect(pool.take(1000) == small)
        pool.giveBack(small, byteCount: 1000)
        pool.giveBack(pool.take(BufferPool.idleLimit / 4), byteCount: BufferPool.idleLimit / 4)
        #expect(pool.buffersMade == 6)
        // Another size displaces buffers of an earlier image, not those of its own size.
        for _ in 0..<10 {
            let both = (0..<2).map { _ in pool.take(BufferPool.idleLimit / 3) }
            for buffer in both { pool.giveBack(buffer, byteCount: BufferPool.idleLimit / 3) }
        }
        #expect(pool.buffersMade == 8)
    }
}
