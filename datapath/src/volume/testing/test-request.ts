// A BlockRequest that a test can await.
import { BlockRequest, type BlockDevice, type BlockOperation } from '../../block/device.ts';

export class TestRequest extends BlockRequest {
  readonly done: Promise<number>;
  isDone = false;

  constructor(operation: BlockOperation, offset = 0, length = 0, memory = 0, flags = 0) {
    let settle: (request: TestRequest) => void = () => {};
    super({ requestDone: (request) => settle(request as TestRequest) });
    this.operation = operation;
    this.offset = offset;
    this.length = length;
    this.memory = memory;
    this.flags = flags;
    this.done = new Promise((resolve) => {
      settle = (request) => {
        if (request.isDone) throw new Error('the request was finished twice');
        request.isDone = true;
        resolve(request.result);
      };
    });
  }

  run(device: BlockDevice): Promise<number> {
    device.submit(this);
    return this.done;
  }
}
