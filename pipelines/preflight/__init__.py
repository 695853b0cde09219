"""What a run or a load will do, found out before anything is paid for."""
